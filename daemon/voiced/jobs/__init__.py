"""Jobs: values, the store, the queue, the files."""
