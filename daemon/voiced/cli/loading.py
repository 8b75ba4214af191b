"""How far a model's load is, drawn while the command waits for it. In a thread of its own, with its own client."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from voiced.cli.connect import connect
from voiced.cli.text import printable
from voiced.models.catalogue import find_spec
from voiced_ipc import messages as m
from voiced_ipc.errors import VoicedError

if TYPE_CHECKING:
    from rich.progress import Progress

_LOOK_S = 0.2
"""Between two looks at the model. Events would tell each step sooner, but not what a load waits for."""


@contextlib.contextmanager
def load_shown(model: str, *, is_quiet: bool = False) -> Iterator[None]:
    """Show a bar while a model loads and the caller waits; nothing where nobody looks on.

    Args:
        model: As the user named it.
        is_quiet: Show nothing.
    """
    if is_quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    is_over = threading.Event()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        drawer = threading.Thread(target=_draw, args=(model_id(model), progress, is_over), name="load bar")
        drawer.start()
        try:
            yield
        finally:
            is_over.set()
            drawer.join()


def model_id(name: str) -> str:
    """Return the id of the model that a user named, who may have left out its size."""
    spec = find_spec(name)
    return name if spec is None else spec.model


def load_text(model: m.ModelInfo) -> str:
    """Return what a load does at this moment, in a line; before its first word its process starts."""
    return f"{model.model}: {printable(model.detail) or 'starting'}"


def _draw(model: str, progress: "Progress", is_over: threading.Event) -> None:
    bar = progress.add_task(f"{printable(model)}: starting", total=1.0)
    with connect() as client:
        while not is_over.wait(_LOOK_S):
            try:
                found = next((one for one in client.models() if one.model == model), None)
            except VoicedError:  # the command that waits hears it too, and says so
                return
            if found is not None and found.state is m.ModelState.LOADING:
                progress.update(bar, description=load_text(found), completed=found.load_fraction)
