"""Inference: models and colors; the light path, which never imports torch."""
