"""Train a family from a recipe on photographs, and export it as a bundle."""
