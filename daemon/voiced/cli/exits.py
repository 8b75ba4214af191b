"""Exit codes, as sysexits.h has them, and the one table from error to code."""

from enum import IntEnum

from voiced import errors as own
from voiced_ipc import errors as e


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    """A job failed, or another failure that no line below names."""
    ALREADY_RUNNING = 3
    """Another daemon of this user runs; `voiced.exit_codes` says the same."""
    USAGE = 64
    DATA = 65
    """Text, document, voice, model or id that cannot be used."""
    NO_INPUT = 66
    UNAVAILABLE = 69
    """No daemon runs."""
    SOFTWARE = 70
    """A fault of voiced itself."""
    CANNOT_CREATE = 73
    INPUT_OUTPUT = 74
    BUSY = 75
    """Try again later."""
    PROTOCOL = 76
    CONFIG = 78
    INTERRUPTED = 130


class CommandFailed(e.VoicedError):
    """A command cannot go on; its code is told where it is raised."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.exit = code


_CODES: dict[type[e.VoicedError], Exit] = {
    e.VoicedError: Exit.FAILED,
    e.DaemonUnavailable: Exit.UNAVAILABLE,
    e.RequestTimeout: Exit.BUSY,
    e.ProtocolError: Exit.PROTOCOL,
    e.RequestRejected: Exit.DATA,
    e.QueueFull: Exit.BUSY,
    e.ShuttingDown: Exit.BUSY,
    e.StorageFailed: Exit.INPUT_OUTPUT,
    e.InternalError: Exit.SOFTWARE,
    own.ConfigError: Exit.CONFIG,
    own.AlreadyRunning: Exit.ALREADY_RUNNING,
    own.UnsafeFolder: Exit.CONFIG,
    own.LibraryError: Exit.DATA,
    e.ModelDamaged: Exit.DATA,
}


def exit_for(error: e.VoicedError) -> Exit:
    """Return the exit code of an error: its own, or that of the nearest class above it."""
    if isinstance(error, CommandFailed):
        return error.exit
    return next(_CODES[cls] for cls in type(error).__mro__ if cls in _CODES)
