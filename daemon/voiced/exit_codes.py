"""How the daemon's process ends; the unit file and the command line act on these."""

EXIT_OK = 0
EXIT_ALREADY_RUNNING = 3
"""Its own code: a service manager must not start it again and again."""
EXIT_RESTART = 75
"""EX_TEMPFAIL of sysexits.h: the service manager starts it again."""
EXIT_CANNOT_START = 78
"""EX_CONFIG of sysexits.h: something must be mended first."""
