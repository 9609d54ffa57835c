"""Measure models against the ground truth of color photos, and describe data sets."""
