"""The command line: one file for each group of commands, thin over `voiced_ipc.Client`."""
