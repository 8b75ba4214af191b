"""espeak-ng's library called directly: one process, one thread, no fork.

python espeak_library.py LIBRARY DATA TEXT WAV          speaks a file into a WAV
python espeak_library.py LIBRARY DATA TEXT - TIMES      speaks it so often into nothing, prints utterances/s
"""

import ctypes
import struct
import sys
import time
from pathlib import Path
from typing import BinaryIO

_SYNCHRONOUS, _CHARACTERS, _UTF8 = 2, 1, 1
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(ctypes.c_char)
)


class Library:
    """The library, started."""

    def __init__(self, path: str, data: str) -> None:
        self._library = ctypes.CDLL(path)
        self.rate_hz = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode() or None, 0)
        self._library.espeak_SetVoiceByName(b"en")
        self.out: BinaryIO | None = None
        self._heard = _Callback(self._hear)
        self._library.espeak_SetSynthCallback(self._heard)

    def speak(self, text: bytes) -> None:
        """Speak a text into `out`."""
        size = len(text) + 1
        failed = self._library.espeak_Synth(text, ctypes.c_size_t(size), 0, _CHARACTERS, 0, _UTF8, None, None)
        if failed:
            sys.exit(f"espeak_Synth failed with {failed}")

    def _hear(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: object) -> int:
        del events
        if count > 0 and self.out is not None:
            self.out.write(ctypes.string_at(samples, count * 2))
        return 0


def main() -> None:
    path, data, text_file, wav, *times = sys.argv[1:]
    library = Library(path, data)
    text = Path(text_file).read_bytes()
    if not times:
        _into_file(library, text, wav)
        return
    library.speak(text)
    began = time.perf_counter()
    for _ in range(int(times[0])):
        library.speak(text)
    print(int(times[0]) / (time.perf_counter() - began))


def _into_file(library: Library, text: bytes, wav: str) -> None:
    with open(wav, "wb") as file:
        file.write(bytes(44))
        library.out = file
        library.speak(text)
        data = file.tell() - 44
        file.seek(0)
        rate = library.rate_hz
        file.write(
            struct.pack(
                "<4sI8sIHHIIHH4sI",
                b"RIFF",
                data + 36,
                b"WAVEfmt ",
                16,
                1,
                1,
                rate,
                rate * 2,
                2,
                16,
                b"data",
                data,
            )
        )


if __name__ == "__main__":
    main()
