"""Limits of photos; imports nothing, so that the command line can show them at once."""

MAX_PIXELS = 250_000_000  # of a photo, unless the user raises it
