"""Files as others find them: their names, their places, whole or not at all, and who holds one."""
