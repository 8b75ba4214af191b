"""voiced, the speech service of a computer."""

__version__ = "0.1.0"
