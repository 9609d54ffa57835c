"""Folders too large for one machine."""
