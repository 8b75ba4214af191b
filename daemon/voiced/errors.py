"""The daemon's own errors, which never cross the wire."""

from voiced_ipc.errors import VoicedError


class ConfigError(VoicedError):
    """A setting that cannot be used; the message names file, key and what is allowed."""


class AlreadyRunning(VoicedError):
    """Another daemon of this user holds the lock; the message names its pid."""


class UnsafeFolder(VoicedError):
    """A folder that others can change must not hold sockets or texts."""


class LibraryError(VoicedError):
    """A model or an engine family could not be installed, imported or removed; nothing is half done."""
