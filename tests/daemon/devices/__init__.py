"""The devices wing."""
