"""The Gaussian set as a value."""
