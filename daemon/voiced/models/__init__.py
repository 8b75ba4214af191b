"""Models: which there are and what they need."""
