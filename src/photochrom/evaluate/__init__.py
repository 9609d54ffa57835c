"""Photographs in, numbers out."""
