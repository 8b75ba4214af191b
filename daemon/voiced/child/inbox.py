"""The link of a child that is one thread: frames wait here while a task looks for those that concern it."""

import select
from collections import deque

from voiced.memory import rss_bytes
from voiced.workers.link import ChildLink, Fields
from voiced_ipc.errors import JobCancelled


class Gone(Exception):
    """The daemon has closed the link, or said `end`."""


class Inbox:
    """The link as such a program reads it."""

    def __init__(self, link: ChildLink) -> None:
        self._link = link
        self._waiting: deque[tuple[Fields, bytes]] = deque()

    def next(self) -> tuple[Fields, bytes]:
        """Return the next frame; waits for it.

        Raises:
            Gone: If there will be none.
        """
        while not self._waiting:
            self._read()
        return self._waiting.popleft()

    def look(self, task: object) -> None:
        """Answer what has come meanwhile.

        Raises:
            JobCancelled: If `task` was cancelled.
            Gone: If the daemon is gone.
        """
        while select.select([self._link], [], [], 0)[0]:
            self._read()
        for frame in list(self._waiting):
            fields, _ = frame
            if fields["type"] == "ping":
                self._waiting.remove(frame)
                self.pong(fields)
            elif fields["type"] == "cancel" and fields.get("task") == task:
                self._waiting.remove(frame)
                raise JobCancelled("The job was cancelled.")

    def pong(self, ping: Fields) -> None:
        """Answer a ping."""
        self._link.send({"type": "pong", "n": ping.get("n"), "rss_bytes": rss_bytes()})

    def _read(self) -> None:
        frames = self._link.receive_ready()
        if frames is None:
            raise Gone
        self._waiting.extend(frames)
