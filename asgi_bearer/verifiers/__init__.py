"""The strategies: each tells whether a token is good, and none knows of the others. Floor 4."""
