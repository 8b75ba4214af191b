"""What the machine has, how loaded it is, and where models should run."""
