"""The sockets: who may speak, what was said, what is answered. No domain rule."""
