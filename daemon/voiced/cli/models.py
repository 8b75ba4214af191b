"""`voiced models`, `load`, `unload`: what can speak, and what is in memory."""

import argparse

from voiced.cli.connect import connect, connect_or_start
from voiced.cli.exits import Exit
from voiced.cli.output import document, print_json, print_lines
from voiced.cli.parser import add_json, add_no_start, between
from voiced.cli.part import Part
from voiced.cli.speech import device
from voiced.cli.status import model_text, shows
from voiced.cli.text import printable, table
from voiced_ipc import messages as m

_LOAD_TIMEOUT_S = 600.0
"""Greatest wait for a model: gigabytes from a slow disk."""


def _declare_models(parser: argparse.ArgumentParser) -> None:
    add_json(parser)
    add_no_start(parser)


def _run_models(options: argparse.Namespace) -> int:
    with connect_or_start(no_start=options.no_start) as client:
        models = client.models()
    if options.json:
        print_json({"models": [document(model) for model in models]})
    else:
        print_lines(models_page(models))
    return Exit.OK


def models_page(models: list[m.ModelInfo]) -> list[str]:
    """Return models as a table."""
    if not models:
        return ["no models"]
    rows = [
        (model.model, model.licence or "-", f"{model.sample_rate_hz} Hz", model_text(model), model.detail)
        for model in models
    ]
    return table(("MODEL", "LICENCE", "RATE", "STATE", "DETAIL"), rows)


def _declare_load(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model that `voiced models` lists")
    parser.add_argument("--device", metavar="DEVICE", type=device, help="cpu, cuda:0, mps ...")
    parser.add_argument(
        "--keep-alive",
        metavar="S",
        type=between(-1, 1e9),
        help="seconds that it stays when idle; -1 = for ever",
    )
    add_no_start(parser)


def _run_load(options: argparse.Namespace) -> int:
    request = m.LoadModel(
        request_id=m.new_id(),
        model=options.model,
        device=options.device or "",
        keep_alive_s=options.keep_alive,
    )
    with connect_or_start(no_start=options.no_start, timeout_s=_LOAD_TIMEOUT_S) as client:
        said = client.control(request).message
    print(printable(said) or f"{options.model} is loaded")
    return Exit.OK


def _declare_unload(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("models", metavar="MODEL", nargs="*", default=[], help="models that are loaded")
    which.add_argument("--all", action="store_true", help="all that are loaded")


def _run_unload(options: argparse.Namespace) -> int:
    with connect() as client:
        names = options.models or [model.model for model in client.models() if shows(model)]
        for name in names:
            said = client.control(m.UnloadModel(request_id=m.new_id(), model=name)).message
            print(printable(said) or f"{name} is unloaded")
    return Exit.OK


PARTS = {
    "models": Part(_declare_models, _run_models, ("voiced models", "voiced models --json")),
    "load": Part(
        _declare_load,
        _run_load,
        ("voiced load espeak", "voiced load qwen3-tts:0.6b --device cuda:0 --keep-alive 3600"),
    ),
    "unload": Part(_declare_unload, _run_unload, ("voiced unload espeak", "voiced unload --all")),
}
