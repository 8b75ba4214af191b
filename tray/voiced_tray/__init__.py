"""The tray of voiced: shows what the daemon does, and locks the device. Knows only `voiced_ipc`."""
