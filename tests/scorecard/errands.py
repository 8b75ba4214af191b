"""Texts on every way that there is into the daemon, and what must lie where when all is over."""

import contextlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

from tests.scorecard.leftovers import leftovers
from tests.scorecard.sounds import digests
from tests.support import Home
from voiced_ipc import Client
from voiced_ipc.errors import VoicedError

TEXT = "A short text of two sentences. Here is the other.\n\nAnd a paragraph."
ANSWER_S = 1.0


class Errand(NamedTuple):
    """One way to have a text spoken, or refused."""

    name: str
    content: bytes
    format: str = "wav"
    is_request: bool = False
    is_refused: bool = False

    def send(self, home: Home, request_id: str) -> None:
        """Hand it in; a client whose daemon dies is told so, and asks again later."""
        if not self.is_request:
            home.put(self.name, self.content)
            return
        with contextlib.suppress(VoicedError):
            self.send_again(home, request_id)

    def send_again(self, home: Home, request_id: str) -> None:
        """Ask as a careful client does that was told nothing."""
        if self.is_request:
            with Client(home.endpoint, timeout_s=ANSWER_S) as client:
                text = self.content.decode()
                client.submit_text(text, request_id=request_id, name=self.name, format=self.format)

    @property
    def expected(self) -> set[str]:
        """What lies in the user's folders when all is over."""
        if self.is_refused:
            return {f"Failed/{self.name}", f"Failed/{self.name}.error.txt"}
        made = {f"Audio/{Path(self.name).stem}.{self.format}"}
        return made if self.is_request else made | {f"Done/{self.name}"}


ERRANDS = (
    Errand("asked.txt", TEXT.encode(), is_request=True),
    Errand("encoded.txt", TEXT.encode(), "flac", is_request=True),
    Errand("dropped.txt", TEXT.encode()),
    Errand("refused.txt", bytes(range(256)) * 8, is_refused=True),
)


def found(home: Home) -> set[str]:
    """Return what lies in the folders that show results."""
    roots = [home.paths.home / name for name in ("Audio", "Done", "Failed")]
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(home.paths.home)) for path in files}


def is_over(home: Home, errand: Errand) -> bool:
    return found(home) >= errand.expected and not leftovers(home)


def take_away(home: Home) -> dict[str, str]:
    """Return the digests of the results, and remove them: the names are free for the next."""
    made = digests(home.audio)
    for name in found(home):
        (home.paths.home / name).unlink()
    return made


def check_database(home: Home) -> None:
    """The database of a daemon that is gone must be whole."""
    with contextlib.closing(sqlite3.connect(home.paths.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def break_up(home: Home) -> None:
    """After a fault: let the next point begin with nothing lying about."""
    for path in leftovers(home):
        with contextlib.suppress(OSError):
            (home.root / path).unlink()
    take_away(home)
