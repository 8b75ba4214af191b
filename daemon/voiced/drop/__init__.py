"""The drop folder: texts put into it become jobs."""
