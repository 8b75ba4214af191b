"""The wire of voiced: messages, errors, and the blocking client.

::

    from voiced_ipc import Client

    with Client() as client, client.speak("Hello, world.") as stream:
        for pcm in stream:          # PCM s16le, mono, at stream.accepted.sample_rate_hz
            play(pcm)

The names are imported when they are first asked for: a program that needs only the endpoint starts sooner.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiced_ipc.client import Client
    from voiced_ipc.endpoint import Endpoint, find_endpoint
    from voiced_ipc.errors import ErrorCode, VoicedError
    from voiced_ipc.stream import SpeechStream

__all__ = ["Client", "Endpoint", "ErrorCode", "SpeechStream", "VoicedError", "find_endpoint"]

_HOMES = {
    "Client": "client",
    "Endpoint": "endpoint",
    "ErrorCode": "errors",
    "SpeechStream": "stream",
    "VoicedError": "errors",
    "find_endpoint": "endpoint",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"voiced_ipc.{_HOMES[name]}"), name)
