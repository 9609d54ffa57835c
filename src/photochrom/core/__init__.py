"""Mathematics of color and of sampling for numpy and torch alike; imports the standard library and jaxtyping only."""
