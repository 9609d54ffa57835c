"""Files and pixels: photographs are opened, given colours and saved; no model is known here."""
