"""Sound as bytes and arrays: joining, checking, writing files. Knows no job and no socket."""
