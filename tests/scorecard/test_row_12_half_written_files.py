"""Row 12, half-written files: 500 writers (slow, `cp`, append twice, editor saves, rename in, mmap).

Target: each spoken once with its final content; 0 early reads. What was spoken is judged by the audio: it must equal
what the whole text gives when it is moved in at once.

Of a file that is closed and then opened again to be appended to, nobody can know at the first close that more is to
come, and the design takes it then: what is appended becomes a file of its own. No byte may be lost or spoken twice;
how many were taken in two parts is told.
"""

import concurrent.futures
import contextlib
import hashlib
import mmap
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.scorecard.card import Card
from tests.scorecard.corpus import make_text
from tests.scorecard.leftovers import leftovers, refused
from tests.scorecard.sounds import visible
from tests.support import Home, running_daemon, wait_for
from voiced_ipc.messages import JobState

WRITERS = 24
"""At work at one time."""
WAIT_S = 240.0
REFERENCE = "reference"


class Draft(NamedTuple):
    """What a writer is to put down, in his pieces."""

    pieces: tuple[str, ...]
    pause_s: float

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def slowly(draft: Draft, target: Path, aside: Path) -> None:
    with target.open("w") as writer:
        for piece in draft.pieces:
            writer.write(piece)
            writer.flush()
            time.sleep(draft.pause_s)


def by_copy(draft: Draft, target: Path, aside: Path) -> None:
    aside.write_text(draft.text)
    subprocess.run(["cp", str(aside), str(target)], check=True)
    aside.unlink()


def in_two_goes(draft: Draft, target: Path, aside: Path) -> None:
    with target.open("a") as writer:
        writer.write(draft.pieces[0])
    time.sleep(draft.pause_s)
    with target.open("a") as writer:
        writer.write("".join(draft.pieces[1:]))


def as_an_editor(draft: Draft, target: Path, aside: Path) -> None:
    """As vim does it: a swap file, a probe whether the folder can be written, a backup, the file in pieces."""
    swap, probe = target.with_name(f".{target.name}.swp"), target.with_name(f"4913-{target.name}")
    backup = target.with_name(f"{target.name}~")
    swap.write_text("swap")
    probe.touch()
    probe.unlink()
    backup.write_text("the text before")
    slowly(draft, target, aside)
    backup.unlink()
    swap.unlink()


def by_rename(draft: Draft, target: Path, aside: Path) -> None:
    aside.write_text(draft.text)
    aside.rename(target)


def by_mapping(draft: Draft, target: Path, aside: Path) -> None:
    """The descriptor is closed long before the last byte is written."""
    data = draft.text.encode()
    with target.open("w+b") as writer:
        writer.truncate(len(data))
        mapped = mmap.mmap(writer.fileno(), len(data))
    with mapped:
        for start in range(0, len(data), 64):
            time.sleep(draft.pause_s / 4)
            mapped[start : start + 64] = data[start : start + 64]


KINDS: dict[str, Callable[[Draft, Path, Path], None]] = {
    "slow": slowly,
    "copied": by_copy,
    "twice": in_two_goes,
    "edited": as_an_editor,
    "moved": by_rename,
    "mapped": by_mapping,
}


def make_drafts(source: Random, count: int) -> dict[str, Draft]:
    """Return drafts by the stem of their file; every piece is a sentence or more."""
    drafts = {}
    for i in range(count):
        kind = list(KINDS)[i % len(KINDS)]
        pieces = tuple(
            make_text(source, f"{kind} {i} piece {n}", 1) + " " for n in range(source.randint(3, 5))
        )
        drafts[f"{kind}-{i}"] = Draft(pieces, source.uniform(0.0, 0.08))
    return drafts


def write_all(home: Home, drafts: dict[str, Draft]) -> None:
    def write(stem: str) -> None:
        KINDS[stem.partition("-")[0]](drafts[stem], home.drop / f"{stem}.txt", home.root / f"aside-{stem}")

    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        for done in concurrent.futures.as_completed([pool.submit(write, stem) for stem in drafts]):
            done.result()


def texts_by_stem(done: Path) -> dict[str, list[str]]:
    """Return what was taken, by the stem of its file."""
    found = defaultdict(list)
    for path in done.glob("*.txt"):
        found[path.stem.partition(" (")[0]].append(path.read_text())
    return dict(found)


def sounds_by_stem(audio: Path) -> dict[str, list[str]]:
    found = defaultdict(list)
    for path in visible(audio).values():
        if path.parent == audio:
            found[path.stem.partition(" (")[0]].append(hashlib.sha256(path.read_bytes()).hexdigest())
    return {stem: sorted(sounds) for stem, sounds in found.items()}


def is_whole(stem: str, draft: Draft, taken: list[str]) -> bool:
    """Return whether nothing is missing and nothing twice; of two parts either may have been done first."""
    wholes = [[draft.text]]
    if stem.startswith("twice"):
        wholes.append(sorted([draft.pieces[0], "".join(draft.pieces[1:])]))
    return sorted(taken) in wholes


def test_each_is_spoken_once_with_its_final_content(card: Card, home: Home) -> None:
    drafts = make_drafts(card.random, card.count(42, 504))
    began = time.monotonic()
    with running_daemon(home) as daemon:
        wait_for(home.drop.exists, what="the drop folder")
        write_all(home, drafts)

        def is_quiet() -> bool:
            return not leftovers(home) and all(job.state.is_final for job in daemon.jobs())

        with contextlib.suppress(AssertionError):  # what is left is told below, with the figures
            wait_for(is_quiet, WAIT_S)
        took_s = time.monotonic() - began
        left, unspoken = leftovers(home), refused(home)
        jobs = daemon.jobs()
        taken, sounds = texts_by_stem(home.paths.home / "Done"), sounds_by_stem(home.audio)

        (home.drop / REFERENCE).mkdir()
        for stem, texts in taken.items():
            for i, text in enumerate(texts):
                home.put(f"{REFERENCE}/{stem}{f' ({i + 1})' if i else ''}.txt", text)
        daemon.wait_jobs(len(jobs) + sum(map(len, taken.values())), WAIT_S)
        expected = sounds_by_stem(home.audio / REFERENCE)
    torn = [stem for stem, draft in drafts.items() if not is_whole(stem, draft, taken.get(stem, []))]
    early = [stem for stem in taken if sounds.get(stem) != expected.get(stem)]
    in_parts = [stem for stem, texts in taken.items() if len(texts) > 1]
    card.tell(
        writers=len(drafts),
        torn=len(torn),
        early_reads=len(early),
        appended_in_two_parts=len(in_parts),
        seconds=took_s,
    )
    assert unspoken == []
    assert left == []
    assert {job.state for job in jobs} == {JobState.DONE}
    assert torn == []
    assert early == []
    assert set(taken) == set(drafts)
    assert all(stem.startswith("twice") for stem in in_parts)
