"""Tiny models of real engines, imported as a person imports them, and the workers that hold them."""

import contextlib
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.daemon.models.published import install, need_torch
from tests.support import DaemonProcess, Home, need, wait_for
from voiced.models.library import Library
from voiced_ipc import Client
from voiced_ipc import messages as m
from voiced_ipc.messages import JobInfo, ModelInfo, ModelState

MAYA1, MMS = "maya1", "mms:eng"
MAYA1_ROOM_BYTES = 12 << 30
"""Total memory below which a daemon refuses Maya1 by the size of the published one."""
LOAD_S = 60.0


class Recipe(NamedTuple):
    """A checkpoint of a model."""

    model: str
    ending: float = 42.0
    """Of Maya1: how much it wants to end; at 0 it goes on up to its bound, and a cancel meets it in the middle."""
    seed: int = 0

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.model.replace(':', '-')}-{self.ending:g}-{self.seed}"


ENDLESS = Recipe(MAYA1, ending=0.0)
"""Speaks a segment for seconds."""
BRIEF = Recipe(MAYA1, ending=8.0)
"""Ends a segment by itself."""
MMS_ENGLISH, MMS_GERMAN = Recipe(MMS), Recipe("mms:deu", seed=1)


class Stock:
    """Tiny models, each built and imported once for all tests.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, home: Home, *recipes: Recipe) -> None:
        """Install models in a home whose daemon does not run yet; skips the test where they cannot run."""
        need_torch()
        for recipe in recipes:
            if recipe.model == MAYA1:
                has_room = psutil.virtual_memory().total >= MAYA1_ROOM_BYTES
                need("engines", has_room, "Maya1 is admitted by its published size: 12 GiB of memory")
            source = self._imported(recipe)
            home.paths.models.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copytree(source, home.paths.models / source.name)

    def _imported(self, recipe: Recipe) -> Path:
        library = Library(self._folder / recipe.name)
        installed = library.find(recipe.model)
        if installed is None:
            checkpoint = self._folder / f"{recipe.name}-files"
            _build(recipe)(checkpoint)
            installed, _ = install(library, recipe.model, checkpoint)
            shutil.rmtree(checkpoint)
        return installed.folder.parent


def _build(recipe: Recipe) -> Callable[[Path], None]:
    from tests.daemon.engines.checkpoints import maya1, vits

    if recipe.model == MAYA1:
        return partial(maya1.build, ending=recipe.ending, seed=recipe.seed)
    return partial(vits.build, language=recipe.model.partition(":")[2], seed=recipe.seed)


def model_info(client: Client, model: str) -> ModelInfo:
    """Return what the daemon tells of a model."""
    return next(one for one in client.models() if one.model == model)


def load(client: Client, model: str) -> float:
    """Load a model; return how long that takes."""
    began = time.monotonic()
    client.control(m.LoadModel(request_id=m.new_id(), model=model))
    wait_for(lambda: model_info(client, model).state is ModelState.LOADED, LOAD_S, f"the load of {model}")
    return time.monotonic() - began


def unload(client: Client, model: str) -> None:
    """Unload a model; return when it is gone."""
    client.control(m.UnloadModel(request_id=m.new_id(), model=model))
    wait_for(lambda: model_info(client, model).state is ModelState.AVAILABLE, what=f"the end of {model}")


def workers(daemon: DaemonProcess) -> list[psutil.Process]:
    """Return the daemon's children that hold a loaded model; one that is a corpse is none."""
    found = []
    for child in psutil.Process(daemon.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends as it is looked at
            if "voiced.child.worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def the_worker(daemon: DaemonProcess) -> psutil.Process:
    """Return the only one."""
    found = wait_for(lambda: workers(daemon), what="a worker")
    assert len(found) == 1
    return found[0]


def wait_speaking(client: Client, job_id: str) -> JobInfo:
    """Wait until a job has some audio and is not at its end; return it."""

    def look() -> JobInfo | None:
        job = client.job(job_id)
        assert not job.state.is_final, (job.state, job.error)
        return job if job.first_audio_ms is not None else None

    return wait_for(look, LOAD_S, "the first audio")
