"""Evaluation: photos in, metrics out."""
