"""The processes that hold models, and the links to them."""
