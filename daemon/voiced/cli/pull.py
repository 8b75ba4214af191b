"""`voiced pull`: a model comes from the hub, is checked, converted and installed.

It runs in this command's own process: the daemon's service has no network, and knows no hub client.
"""

import argparse
import contextlib
import os
import signal
import sys
from typing import NamedTuple

from voiced.cli.exits import Exit
from voiced.cli.licence import confirm_licence
from voiced.cli.output import print_json
from voiced.cli.parser import between
from voiced.cli.part import Part
from voiced.cli.transfer import Transfer, shown
from voiced.errors import LibraryError
from voiced.models import pulling
from voiced.models.catalogue import find_spec
from voiced.models.importing import install_staged
from voiced.models.library import Library, folder_name
from voiced.models.remote import sources_of
from voiced.models.spec import HubSource, ModelSpec
from voiced.paths import find_paths
from voiced.workers.environment import child_environment
from voiced_ipc.errors import ModelDamaged, UnknownModel

_MOST_TRIES = 100


class _Wish(NamedTuple):
    """What is to be pulled."""

    spec: ModelSpec
    sources: tuple[HubSource, ...]
    revision: str
    """Of the model's own repository; empty = its main branch."""
    endpoint: str
    tries: int | None


class _Result(NamedTuple):
    plan: pulling.Plan
    is_new: bool


def _declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="ID", help="a model that `voiced models --all` lists")
    parser.add_argument("--revision", metavar="REV", default="", help="a branch, a tag or a commit (main)")
    parser.add_argument(
        "--repository",
        metavar="OWNER/NAME",
        default="",
        help="for a model whose file you choose (maya1:gguf)",
    )
    parser.add_argument("--file", metavar="NAME", default="", help="the file in that repository")
    parser.add_argument("--accept-licence", action="store_true", help="accept a non-commercial licence")
    parser.add_argument(
        "--endpoint", metavar="URL", default="", help="another hub (HF_ENDPOINT, huggingface.co)"
    )
    parser.add_argument(
        "--tries",
        metavar="N",
        type=between(1, _MOST_TRIES, int),
        help="tries without a byte before it gives up (6)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document a line")


def _run(options: argparse.Namespace) -> int:
    spec = find_spec(options.model)
    if spec is None:
        raise UnknownModel(
            f"there is no model {options.model!r}; `voiced models --all` lists those that can be pulled"
        )
    sources = sources_of(spec, options.repository, options.file)
    confirm_licence(spec, options.accept_licence)
    signal.signal(signal.SIGTERM, _interrupt)
    wish = _Wish(spec, sources, options.revision, options.endpoint, options.tries)
    try:
        with shown(as_json=options.json) as transfer:
            result = _pull(wish, transfer)
    except (KeyboardInterrupt, SystemExit):
        print(
            f"voiced: stopped; what came is kept, and the same `voiced pull {spec.model}` goes on from there",
            file=sys.stderr,
        )
        raise
    _tell(spec, result, as_json=options.json)
    return Exit.OK


def _pull(wish: _Wish, transfer: Transfer) -> _Result:
    try:
        from voiced.models.hub import TRIES, Hub
    except ImportError as error:
        raise LibraryError(
            f"pulling needs the package {error.name or 'huggingface_hub'}: pip install 'voiced[models]'"
        ) from error
    spec = wish.spec
    library = Library(find_paths().models)
    hub = Hub(wish.endpoint, tries=wish.tries or TRIES, say=transfer.waiting)
    revisions = [wish.revision, *("" for _ in wish.sources[1:])]
    listings = [
        hub.listing(source, revision) for source, revision in zip(wish.sources, revisions, strict=True)
    ]
    plan = pulling.make_plan(spec, listings)
    if is_same(library, plan):
        return _Result(plan, is_new=False)
    with pulling.room_for(library.folder, folder_name(spec.model)) as room:
        pulling.check_space(plan, room)
        transfer.begin(plan, room.kept_bytes(plan))
        for fetched in pulling.fetch(hub, plan, room):
            transfer.fetched(plan, fetched)
        _install(library, spec, plan, room, transfer)
        room.clear()
    return _Result(plan, is_new=True)


def _install(
    library: Library, spec: ModelSpec, plan: pulling.Plan, room: pulling.Room, transfer: Transfer
) -> None:
    steps = install_staged(
        library,
        spec,
        pulling.staged(plan, room),
        source=plan.source,
        revision=plan.revision,
        environment=child_environment(os.environ, device="cpu", threads=0),
    )
    try:
        with contextlib.closing(steps):
            for step in steps:
                transfer.installing(step.what, step.done_bytes, step.total_bytes)
    except LibraryError as error:
        raise LibraryError(f"{error.message} (what was fetched is kept in {room.folder})") from error


def is_same(library: Library, plan: pulling.Plan) -> bool:
    """Return whether what a plan fetches is installed, and whole."""
    found = library.find(plan.model)
    if found is None or (found.manifest.source, found.manifest.revision) != (plan.source, plan.revision):
        return False
    try:
        library.check(plan.model)
    except ModelDamaged:
        return False
    return True


def _tell(spec: ModelSpec, result: _Result, *, as_json: bool) -> None:
    plan = result.plan
    if as_json:
        print_json(
            {
                "step": "done",
                "model": spec.model,
                "is_new": result.is_new,
                "source": plan.source,
                "revision": plan.revision,
            },
            indent=None,
        )
        return
    if not result.is_new:
        print(f"{spec.model} is here already, at this revision ({plan.revision})")
        return
    print(f"{spec.model} is installed, from {plan.source} at {plan.revision}")
    print(
        "This download was checked against what the hub tells and is trusted from now on: the SHA-256 of each file is "
        "kept, and a file that changes is refused."
    )
    if spec.family and not (find_paths().overlays / spec.family).is_dir():
        print(f"Its packages come with `voiced engine install {spec.family}`")


def _interrupt(number: int, frame: object) -> None:
    """SIGTERM leaves as tidily as Ctrl+C."""
    raise SystemExit(128 + number)


PARTS = {
    "pull": Part(
        _declare,
        _run,
        (
            "voiced pull mms:eng --accept-licence",
            "voiced pull qwen3-tts:0.6b",
            "voiced pull piper:en_US-lessac-medium",
            "voiced pull maya1:gguf --repository OWNER/NAME --file maya1.Q5_K_M.gguf",
            "HF_TOKEN=hf_... voiced pull openaudio-s1-mini --accept-licence",
        ),
        "Fetches the model's files, checks each against the hub's checksums, converts those of torch to safetensors,\n"
        "and keeps their SHA-256. A pull that broke goes on where it stopped. After it nothing asks the network.",
    )
}
