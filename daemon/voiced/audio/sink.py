"""A file as FFmpeg sees it. No error crosses code that was not made for it: it is kept, and raised when asked for."""

import os


class Sink:
    """A file that takes everything, and remembers what it could not write.

    Args:
        descriptor: Open for writing.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._place = 0
        self._error: OSError | None = None
        self._is_open = True

    def write(self, data: bytes) -> int:
        """Write at the current place; after an error, nothing."""
        if self._is_open and self._error is None:
            view, done = memoryview(data), 0
            try:
                while done < len(view):
                    done += os.pwrite(self._descriptor, view[done:], self._place + done)
            except OSError as error:
                self._error = error
        self._place += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        if whence == os.SEEK_CUR:
            offset += self._place
        elif whence == os.SEEK_END:
            offset += os.fstat(self._descriptor).st_size
        self._place = offset
        return offset

    def tell(self) -> int:
        """Return the current place."""
        return self._place

    def check(self) -> None:
        """Raise the error that kept something from being written."""
        if self._error is not None:
            raise self._error

    def let_go(self) -> None:
        """Write no more, whatever comes: the descriptor may soon be another file's."""
        self._is_open = False
