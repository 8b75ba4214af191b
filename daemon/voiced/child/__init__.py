"""What runs below the link: the programs of workers and of the scribe."""
