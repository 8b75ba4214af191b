"""Files that change their place or appear whole, whatever their names are."""
