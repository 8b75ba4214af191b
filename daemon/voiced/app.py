"""The daemon: its parts, started in order, stopped in reverse.

`run` boots, then runs the loop until a signal or a request ends it. SIGTERM and SIGINT stop, a second one forces;
SIGHUP reloads; SIGUSR1 writes all stacks into the log's folder.
"""

import gc
import sys
from collections.abc import Mapping

from voiced.boot import boot
from voiced.errors import AlreadyRunning, UnsafeFolder
from voiced.exit_codes import EXIT_ALREADY_RUNNING, EXIT_CANNOT_START
from voiced_ipc.errors import VoicedError

_COLLECTIONS = (10_000, 10, 10)
"""Objects that are made, less those that went, before the young ones are looked through. By default 700, which is
less than the streams of a dozen clients are."""


def run(overrides: Mapping[str, object]) -> int:
    """Run the daemon until it is stopped; return the exit code.

    Args:
        overrides: Settings from the command line, by their keys.
    """
    try:
        booted = boot(overrides)
    except AlreadyRunning as error:
        print(f"voiced: {error.message}", file=sys.stderr)
        return EXIT_ALREADY_RUNNING
    except (UnsafeFolder, VoicedError) as error:
        print(f"voiced: {error.message}", file=sys.stderr)
        return EXIT_CANNOT_START
    except OSError as error:
        print(f"voiced: cannot start: {error}", file=sys.stderr)
        return EXIT_CANNOT_START
    # Only now what takes long to import: who has connected meanwhile waits in the backlog.
    from voiced.logs import start_logging

    start_logging(booted.paths.log_file, booted.config.log_level)
    import asyncio

    from voiced.daemon import Daemon

    # Modules live as long as the process: no collection looks through them again, in the midst of speech.
    gc.freeze()
    gc.set_threshold(*_COLLECTIONS)
    return asyncio.run(Daemon(booted).run())
