"""`voiced import`, `rm`: models from files of the user's, and models that go. In this process: no daemon is needed."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path

from voiced.cli.connect import connect, is_listening
from voiced.cli.exits import Exit
from voiced.cli.licence import confirm_licence
from voiced.cli.output import print_json
from voiced.cli.parser import add_json
from voiced.cli.part import Part
from voiced.cli.text import counted, printable, size
from voiced.models.catalogue import find_spec
from voiced.models.importing import Step, import_folder
from voiced.models.library import Installed, Library, missing_text
from voiced.models.spec import ModelSpec
from voiced.paths import find_paths
from voiced.workers.environment import child_environment
from voiced_ipc import messages as m
from voiced_ipc.errors import DaemonUnavailable, InvalidRequest, ModelMissing, UnknownModel, VoicedError

_UNLOAD_TIMEOUT_S = 30.0
"""Greatest wait for a daemon to let go of a model."""
_THREADS = 2
"""Of the child that looks at weights: it waits for the disk."""


def _declare_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model that `voiced models --all` lists")
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="its files as they were published; they are copied"
    )
    parser.add_argument(
        "--accept-licence", action="store_true", help="accept a licence that forbids commercial use"
    )
    add_json(parser)


def _run_import(options: argparse.Namespace) -> int:
    spec = known_spec(options.model)
    if not spec.is_embedded:
        confirm_licence(spec, options.accept_licence)
    library = open_library()
    was_there = library.find(spec.model) is not None
    environment = child_environment(dict(os.environ), device="cpu", threads=_THREADS)
    steps = import_folder(library, spec, options.folder, environment=environment)
    show_steps(steps, is_quiet=options.json)
    if was_there:
        unload(spec.model)
    installed = library.find(spec.model)
    if installed is None:
        raise ModelMissing(missing_text(spec))
    if options.json:
        print_json(installed_document(installed))
    else:
        print(installed_text(installed))
    return Exit.OK


def _declare_rm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="+", help="models that `voiced models` lists")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _run_rm(options: argparse.Namespace) -> int:
    library = open_library()
    sizes: dict[str, int] = {}
    for model in options.models:
        spec = find_spec(model)
        if spec is not None and spec.is_embedded:
            raise InvalidRequest(f"{model} comes with voiced and takes no room; it cannot be removed")
        taken = library.size_of(model)
        if taken is None:
            raise ModelMissing(f"{printable(model)} is not installed; `voiced models` lists what is")
        sizes[model if spec is None else spec.model] = taken
    if not options.yes:
        _confirm(sizes)
    for model in sizes:
        unload(model)
        print(f"{model} is removed: {size(library.remove(model))} are free again")
    return Exit.OK


def _confirm(sizes: dict[str, int]) -> None:
    what = ", ".join(f"{model} ({size(taken)})" for model, taken in sizes.items())
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidRequest(f"{what}: nothing is removed unasked; --yes says that you mean it")
    print(f"remove {what}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InvalidRequest("nothing was removed")


# -- shared with `voiced pull` --------------------------------------------------------------------------


def known_spec(model: str) -> ModelSpec:
    """Return what is known of a model.

    Raises:
        UnknownModel: If there is none of that id.
    """
    spec = find_spec(model)
    if spec is None:
        raise UnknownModel(f"there is no model {printable(model)!r}; `voiced models --all` lists them")
    return spec


def open_library() -> Library:
    """Return this user's library; from now on SIGTERM leaves as tidily as Ctrl+C, and files are the user's alone."""
    signal.signal(signal.SIGTERM, _interrupt)
    os.umask(0o077)
    return Library(find_paths().models)


def show_steps(steps: Generator[Step, None, None], *, is_quiet: bool) -> None:
    """Run an install to its end, with a bar where somebody looks on; what ends it early leaves nothing behind."""
    with contextlib.closing(steps):
        try:
            if is_quiet or not sys.stderr.isatty():
                for _ in steps:
                    pass
            else:
                _draw(steps)
        except KeyboardInterrupt:
            print("voiced: stopped; nothing was installed", file=sys.stderr)
            raise


def _draw(steps: Generator[Step, None, None]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None)
        for step in steps:
            progress.update(
                bar,
                description=printable(step.what),
                completed=step.done_bytes,
                total=step.total_bytes or None,
            )


def installed_document(installed: Installed) -> dict[str, object]:
    """Return an installed model as plain values."""
    manifest = installed.manifest
    return {
        "model": manifest.model,
        "folder": str(installed.folder),
        "size_bytes": installed.size_bytes,
        "files": len(manifest.files),
        "source": manifest.source,
        "revision": manifest.revision,
        "licence": manifest.licence,
        "installed": manifest.installed,
    }


def installed_text(installed: Installed) -> str:
    """Return that a model is installed, and what comes next."""
    spec = installed.spec
    files = counted(len(installed.manifest.files), "file")
    text = f"{spec.model} is installed: {files}, {size(installed.size_bytes)}, SHA-256 kept"
    if spec.family and not (find_paths().overlays / spec.family).exists():
        text += f"; `voiced engine install {spec.family}` brings the packages that it needs"
    return text


def unload(model: str) -> None:
    """Ask the daemon, where one runs, to let go of a model; that it does not is told and changes nothing."""
    if not is_listening():
        return
    try:
        with connect(timeout_s=_UNLOAD_TIMEOUT_S) as client:
            client.control(m.UnloadModel(request_id=m.new_id(), model=model))
    except DaemonUnavailable:
        pass
    except VoicedError as error:
        print(f"voiced: {printable(model)} may still be loaded: {printable(error.message)}", file=sys.stderr)


def _interrupt(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


PARTS = {
    "import": Part(
        _declare_import,
        _run_import,
        (
            "voiced import kokoro ~/Downloads/Kokoro-82M",
            "voiced import mms:deu ~/mms-tts-deu --accept-licence",
        ),
        "The files are copied and their SHA-256 kept; torch's own files (.pth, .pt, .bin) become safetensors, read by\n"
        "a process without network that runs nothing of what is in them. The folder stays as it is.",
    ),
    "rm": Part(_declare_rm, _run_rm, ("voiced rm kokoro", "voiced rm --yes kokoro mms:deu")),
}
