"""Files and pixels: photos are opened, colored and saved; nothing here knows of models."""
