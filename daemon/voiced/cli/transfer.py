"""How far a pull is, as people or programs read it: bars on a terminal, a line a file elsewhere, or JSON lines."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from voiced.cli.output import print_json
from voiced.cli.text import counted, printable, size
from voiced.models.pulling import Fetched, Plan

if TYPE_CHECKING:
    from rich.progress import Progress

_JSON_EVERY_S = 0.25
_NAME_WIDTH = 40


class Transfer(Protocol):
    """Shows a pull."""

    def begin(self, plan: Plan, kept_bytes: int) -> None:
        """Show what is fetched, and how much of it an earlier pull left."""

    def fetched(self, plan: Plan, step: Fetched) -> None:
        """Show how far the files are."""

    def waiting(self, sentence: str) -> None:
        """Show why nothing moves."""

    def installing(self, what: str, done_bytes: int, total_bytes: int) -> None:
        """Show how far the conversion and the checks are."""


@contextlib.contextmanager
def shown(*, as_json: bool) -> Iterator[Transfer]:
    """Return what shows a pull on this terminal, or for this program."""
    if as_json:
        yield _JsonLines()
    elif not sys.stderr.isatty():
        yield _Lines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as SpeedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            SpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            yield _Bars(progress)


class _JsonLines:
    """One JSON document a line, on standard output; not more than four a second within a file."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def begin(self, plan: Plan, kept_bytes: int) -> None:
        files = [{"file": file.target, "bytes": file.size_bytes} for file in plan.files]
        self._print(
            "begin",
            model=plan.model,
            source=plan.source,
            revision=plan.revision,
            files=files,
            kept_bytes=kept_bytes,
            total_bytes=plan.total_bytes,
        )

    def fetched(self, plan: Plan, step: Fetched) -> None:
        if not self._is_due(is_edge=step.file_bytes in (0, step.file.size_bytes)):
            return
        self._print(
            "fetch",
            file=step.file.target,
            file_done_bytes=step.file_bytes,
            file_bytes=step.file.size_bytes,
            done_bytes=step.done_bytes,
            total_bytes=plan.total_bytes,
        )

    def waiting(self, sentence: str) -> None:
        self._print("wait", why=sentence)

    def installing(self, what: str, done_bytes: int, total_bytes: int) -> None:
        if self._is_due(is_edge=done_bytes in (0, total_bytes)):
            self._print("install", what=what, done_bytes=done_bytes, total_bytes=total_bytes)

    def _is_due(self, *, is_edge: bool) -> bool:
        now = time.monotonic()
        if not is_edge and now < self._next_s:
            return False
        self._next_s = now + _JSON_EVERY_S
        return True

    def _print(self, step: str, **fields: Any) -> None:
        print_json({"step": step, **fields}, indent=None)
        sys.stdout.flush()


class _Lines:
    """A line for each file, on standard error."""

    def __init__(self) -> None:
        self._told = ""

    def begin(self, plan: Plan, kept_bytes: int) -> None:
        kept = f", {size(kept_bytes)} are here already" if kept_bytes else ""
        self._tell(f"{counted(len(plan.files), 'file')}, {size(plan.total_bytes)} from {plan.source}{kept}")

    def fetched(self, plan: Plan, step: Fetched) -> None:
        self._tell(f"fetching {step.file.target} ({size(step.file.size_bytes)})")

    def waiting(self, sentence: str) -> None:
        self._tell(sentence)

    def installing(self, what: str, done_bytes: int, total_bytes: int) -> None:
        self._tell(what)

    def _tell(self, line: str) -> None:
        if line != self._told:
            self._told = line
            print(f"voiced: {printable(line)}", file=sys.stderr, flush=True)


class _Bars:
    """A bar for all, and one for the file that comes."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._whole = progress.add_task("looking for the model", total=None)
        self._file = progress.add_task("", total=None, visible=False)
        self._shown = ""

    def begin(self, plan: Plan, kept_bytes: int) -> None:
        self._progress.update(
            self._whole, description=counted(len(plan.files), "file"), total=plan.total_bytes, completed=0
        )

    def fetched(self, plan: Plan, step: Fetched) -> None:
        self._name(step.file.target, step.file.size_bytes)
        self._progress.update(self._file, completed=step.file_bytes)
        self._progress.update(self._whole, completed=step.done_bytes)

    def waiting(self, sentence: str) -> None:
        self._progress.console.print(f"voiced: {printable(sentence)}", markup=False, highlight=False)

    def installing(self, what: str, done_bytes: int, total_bytes: int) -> None:
        self._progress.update(self._whole, visible=False)
        self._name(what, total_bytes)
        self._progress.update(self._file, completed=done_bytes, total=total_bytes or None)

    def _name(self, what: str, total_bytes: int) -> None:
        if what != self._shown:
            self._shown = what
            self._progress.reset(
                self._file,
                description=printable(what)[-_NAME_WIDTH:],
                total=total_bytes or None,
                visible=True,
            )
