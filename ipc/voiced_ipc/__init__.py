"""The wire of voiced: messages, errors, and the blocking client.

::

    from voiced_ipc import Client

    with Client() as client, client.speak("Hello, world.") as stream:
        for pcm in stream:          # PCM s16le, mono, at stream.accepted.sample_rate_hz
            play(pcm)
"""

from voiced_ipc.client import Client
from voiced_ipc.endpoint import Endpoint, find_endpoint
from voiced_ipc.errors import ErrorCode, VoicedError
from voiced_ipc.stream import SpeechStream

__all__ = ["Client", "Endpoint", "ErrorCode", "SpeechStream", "VoicedError", "find_endpoint"]
