"""Train a family from a recipe on photos, and export it as a bundle."""
