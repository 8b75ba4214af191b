"""`voiced models`, `load`, `unload`: what can speak, and what is in memory."""

import argparse

from voiced.cli.connect import connect, connect_or_start
from voiced.cli.exits import Exit
from voiced.cli.loading import load_shown, model_id
from voiced.cli.output import document, print_json, print_lines
from voiced.cli.parser import add_json, add_no_start, between
from voiced.cli.part import Part
from voiced.cli.speech import device
from voiced.cli.status import model_text, shows
from voiced.cli.text import printable, size, span, table
from voiced.models.catalogue import CATALOGUE
from voiced.models.spec import ModelSpec
from voiced_ipc import messages as m

_LOAD_TIMEOUT_S = 600.0
"""Greatest wait for a model: gigabytes from a slow disk."""


def _declare_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="also those that can be installed, and how")
    add_json(parser)
    add_no_start(parser)


def _run_models(options: argparse.Namespace) -> int:
    with connect_or_start(no_start=options.no_start) as client:
        models = client.models()
    here = [model for model in models if model.state is not m.ModelState.MISSING]
    missing = missing_models(models) if options.all else []
    if options.json:
        print_json({"models": [document(model) for model in here + missing]})
        return Exit.OK
    print_lines(models_page(here))
    if options.all:
        print_lines(["", *missing_page(missing)])
    return Exit.OK


def missing_models(models: list[m.ModelInfo]) -> list[m.ModelInfo]:
    """Return the models that could be installed: those of the catalogue, and those that the daemon knows of.

    Args:
        models: What the daemon says.
    """
    told = {model.model: model for model in models}
    known = {
        name: told.get(name) or _unheard(spec) for name, spec in CATALOGUE.items() if not spec.is_embedded
    }
    return [model for model in (known | told).values() if model.state is m.ModelState.MISSING]


def _unheard(spec: ModelSpec) -> m.ModelInfo:
    return m.ModelInfo(
        model=spec.model,
        engine=spec.engine,
        state=m.ModelState.MISSING,
        device="",
        licence=spec.licence,
        sample_rate_hz=spec.sample_rate_hz,
        family=spec.family,
        identity=spec.identity,
        is_noncommercial=spec.is_noncommercial,
        needs_bytes=spec.needs_bytes,
        detail=spec.about,
    )


def models_page(models: list[m.ModelInfo]) -> list[str]:
    """Return models that are here as a table."""
    if not models:
        return ["no models; `voiced models --all` tells which there are"]
    rows = [
        (
            model.model,
            model_text(model),
            size(model.installed_bytes) if model.installed_bytes else "-",
            size(model.needs_bytes) if model.needs_bytes else "-",
            unloads_text(model),
            licence_text(model),
        )
        for model in models
    ]
    return table(("MODEL", "STATE", "DISK", "NEEDS", "UNLOADS IN", "LICENCE"), rows)


def missing_page(models: list[m.ModelInfo]) -> list[str]:
    """Return models that are not here as a table, with the command that installs each."""
    rows = [
        (
            model.model,
            size(model.needs_bytes) if model.needs_bytes else "-",
            licence_text(model),
            _command(model.model),
            model.detail,
        )
        for model in models
    ]
    return [
        *table(("MODEL", "NEEDS", "LICENCE", "TO INSTALL IT", "WHAT IT IS"), rows),
        "",
        "Also `voiced pull piper:VOICE` (piper:en_US-lessac-medium) and `voiced pull mms:LANGUAGE` (mms:deu).",
    ]


def licence_text(model: m.ModelInfo) -> str:
    """Return the licence of a model's weights; one that forbids commercial use is marked."""
    licence = printable(model.licence) or "-"
    return f"{licence} (non-commercial)" if model.is_noncommercial else licence


def unloads_text(model: m.ModelInfo) -> str:
    """Return when a loaded model goes."""
    if model.unloads_in_s is not None:
        return span(model.unloads_in_s)
    return "stays" if model.state is m.ModelState.LOADED else "-"


def _command(model: str) -> str:
    spec = CATALOGUE.get(model)
    if spec is not None and not spec.sources:
        return f"voiced import {model} FOLDER"
    return f"voiced pull {model}"


def _declare_load(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model that `voiced models` lists")
    parser.add_argument("--device", metavar="DEVICE", type=device, help="cpu, cuda:0, mps ...")
    parser.add_argument(
        "--keep-alive",
        metavar="S",
        type=between(-1, 1e9),
        help="seconds that it stays when idle; -1 = for ever",
    )
    add_json(parser)
    add_no_start(parser)


def _run_load(options: argparse.Namespace) -> int:
    request = m.LoadModel(
        request_id=m.new_id(),
        model=options.model,
        device=options.device or "",
        keep_alive_s=options.keep_alive,
    )
    with connect_or_start(no_start=options.no_start, timeout_s=_LOAD_TIMEOUT_S) as client:
        with load_shown(options.model, is_quiet=options.json):
            said = client.control(request).message
        if options.json:
            model = model_id(options.model)
            print_json(next((document(one) for one in client.models() if one.model == model), {}))
            return Exit.OK
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
    "models": Part(
        _declare_models, _run_models, ("voiced models", "voiced models --all", "voiced models --json")
    ),
    "load": Part(
        _declare_load,
        _run_load,
        ("voiced load espeak", "voiced load qwen3-tts:0.6b --device cuda:0 --keep-alive 3600"),
    ),
    "unload": Part(_declare_unload, _run_unload, ("voiced unload espeak", "voiced unload --all")),
}
