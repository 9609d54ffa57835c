"""Mathematics of colour and of sampling, for numpy and torch alike; imports the standard library only."""
