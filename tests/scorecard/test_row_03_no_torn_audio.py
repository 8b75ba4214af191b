"""Row 3, no torn audio visible under a final name, 200 kills while publishing.

Target: 0 torn files; header length = data length in every file. Every file is looked at the moment it appears, and
once more at the end.
"""

import time
from pathlib import Path

from tests.scorecard.card import Card
from tests.scorecard.leftovers import ledger, leftovers
from tests.scorecard.sounds import SUFFIXES, fault_of
from tests.support import DaemonProcess, Home, running_daemon, wait_for
from voiced_ipc.messages import JobState

BATCH = 8
"""Files that become ready together: a kill finds some published, some on the way, some not begun."""
WORDS = "A few words."


class Onlooker:
    """Somebody with the audio folder open, who opens every file as soon as he sees it."""

    def __init__(self, audio: Path) -> None:
        self._audio = audio
        self.seen: set[str] = set()
        self.torn: list[str] = []

    def look(self) -> None:
        """Check what is new."""
        names = {path.name for path in self._audio.iterdir() if path.suffix in SUFFIXES}
        fresh = sorted(names - self.seen)
        self.check(fresh)
        self.seen.update(fresh)

    def wait_seen(self, count: int) -> None:
        """Look on without a break until so many files were seen."""

        def has_come() -> bool:
            self.look()
            return len(self.seen) >= count

        wait_for(has_come, what="another file")

    def check(self, names: list[str]) -> None:
        for name in names:
            fault = fault_of(self._audio / name)
            if fault:
                self.torn.append(f"{name}: {fault}")


def publish_some(daemon: DaemonProcess, kill: int) -> None:
    """Let a batch of jobs become ready in one moment."""
    with daemon.client() as client:
        client.pause()
        for i in range(BATCH):
            client.submit_text(WORDS, name=f"{kill}-{i}.txt", format="flac" if i % 2 else "wav")
        client.resume()


def test_no_file_is_ever_seen_half_made(card: Card, home: Home) -> None:
    kills, caught = card.count(12, 200), 0
    with running_daemon(home) as daemon:
        wait_for(home.drop.exists, what="the first start")
        home.audio.mkdir(exist_ok=True)
        onlooker = Onlooker(home.audio)
        for kill in range(kills):
            before = len(onlooker.seen)
            publish_some(daemon, kill)
            onlooker.wait_seen(before + card.random.randint(1, BATCH - 2))
            end = time.monotonic() + card.random.uniform(0.0, 0.02)
            while time.monotonic() < end:
                onlooker.look()
            daemon.kill()
            caught += "finishing" in ledger(home)
            onlooker.look()
            daemon.restart()
        jobs = daemon.wait_jobs(kills * BATCH, 120.0)
        wait_for(lambda: not leftovers(home), what="the sweep")
        onlooker.look()
        onlooker.check(sorted(onlooker.seen))
    card.tell(kills=kills, kills_while_publishing=caught, files=len(onlooker.seen), torn=len(onlooker.torn))
    assert onlooker.torn == []
    assert {job.state for job in jobs} == {JobState.DONE}
    assert len(onlooker.seen) == kills * BATCH
    assert caught >= kills // 4
