"""Films: their frames colorized with colors that stay, and everything else of them kept."""
