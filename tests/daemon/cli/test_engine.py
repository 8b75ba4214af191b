"""`voiced engine`: the list, one family after the other, and what goes wrong."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.cli.conftest import Ran, Run
from tests.daemon.models.overlay_box import Box
from voiced.cli import engine
from voiced.cli.exits import Exit
from voiced.models.overlay import FAMILIES, Overlays

OWN = [family for family, known in FAMILIES.items() if not known.is_main]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = Box(tmp_path)
    made.family("f", made.toy(), licences=("toy: GPL-3.0-or-later",))
    made.family("slow", made.toy(), compiled=("toy",))
    return made


@pytest.fixture
def box_run(box: Box, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a verb on the toy families."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    for name, value in box.environment.items():
        monkeypatch.setenv(name, value)

    def run_(*arguments: str) -> Ran:
        parser = argparse.ArgumentParser()
        engine.PARTS["engine"].declare(parser)
        capsys.readouterr()
        code = engine.run_verb(box.overlays, parser.parse_args(list(arguments)))
        return Ran(code, *capsys.readouterr())

    return run_


def test_the_list_of_a_fresh_computer(run: Run) -> None:
    ran = run("engine", "list")
    assert ran.code == Exit.OK
    for family in FAMILIES:
        assert family in ran.out
    assert "piper:<voice>" in ran.out
    assert "`voiced engine install FAMILY`" in ran.out


def test_the_list_as_json(run: Run, user: Path) -> None:
    ran = run("engine", "list", "--json")
    document = json.loads(ran.out)
    assert document["folder"] == str(user / "root" / "data" / "engines")
    families = {info["family"]: info for info in document["families"]}
    assert list(families) == list(FAMILIES)
    assert families["piper"]["licences"] == ["piper-tts: GPL-3.0-or-later"]
    assert not families["piper"]["is_installed"]
    assert families["vits"]["is_main"]
    # Looking makes nothing.
    assert not (user / "root" / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["path", "piper"], Exit.FAILED, "`voiced engine install piper`"),
        (["path", "piper:en_US-lessac-medium"], Exit.FAILED, "`voiced engine install piper`"),
        (["path", "nothing"], Exit.FAILED, "'nothing': `voiced engine list`"),
        (["install", "nothing"], Exit.DATA, "there is no engine family 'nothing': there are chatterbox"),
        (["install", "maya1"], Exit.DATA, "pip install 'voiced[models]'"),
        (["install", "mms:eng"], Exit.DATA, "vits has no packages of its own"),
        (["remove", "vits"], Exit.DATA, "vits has no packages of its own"),
        (["install"], Exit.USAGE, "name families, or use --all"),
        (["install", "--all", "piper"], Exit.USAGE, "name families, or use --all"),
        ([], Exit.USAGE, "VERB"),
    ],
)
def test_mistakes_are_one_sentence(run: Run, arguments: list[str], code: Exit, words: str) -> None:
    ran = run("engine", *arguments)
    assert ran.code == code
    assert words in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert ran.out == ""


def test_a_family_goes_by_the_names_of_its_models() -> None:
    assert engine.family_of("qwen3-tts:1.7b-design") == "qwen3-tts"
    assert engine.family_of("openaudio-s1-mini") == "openaudio"
    assert engine.family_of("piper:de_DE-thorsten-high") == "piper"
    assert engine.family_of("maya1:gguf") == "maya1-gguf"
    assert engine.family_of("mms:deu") == "vits"
    assert engine.family_of("what") == "what"
    for family in FAMILIES:
        assert engine.family_of(family) == family


@pytest.mark.process
def test_from_nothing_to_removed(box: Box, box_run: Run) -> None:
    ran = box_run("install", "f")
    assert ran.code == Exit.OK
    assert ran.out.startswith("f is installed: 1 package, ")
    assert "it uses toy: GPL-3.0-or-later, in a process of its own" in ran.out
    assert box_run("path", "f").out == f"{box.folder / 'f'}\n"
    assert box_run("install", "f").out.startswith("f is installed already, ")
    page = box_run("list").out
    assert "f       ready" in page
    assert "not installed: slow: `voiced engine install FAMILY` fetches one" in page
    assert "f uses toy: GPL-3.0-or-later" in page
    assert box_run("remove", "f").out.startswith("f is removed, ")
    assert box_run("remove", "f").out == "f was not installed\n"


@pytest.mark.process
def test_all_leaves_out_what_is_compiled(box: Box, box_run: Run) -> None:
    ran = box_run("install", "--all")
    assert "left out, for it is compiled here: slow" in ran.out
    assert box.left() == ["f"]


@pytest.mark.process
def test_steps_as_json(box: Box, box_run: Run) -> None:
    ran = box_run("install", "f", "--json")
    *steps, last = [json.loads(line) for line in ran.out.splitlines()]
    assert [step["done"] for step in steps] == sorted(step["done"] for step in steps)
    assert steps[-1]["done"] == steps[-1]["total"] == 4
    assert last["is_made"]
    assert last["is_ready"]
    assert last["packages"] == [{"name": "toy", "version": "1.0", "licence": ""}]
    again = json.loads(box_run("install", "f", "--json").out)
    assert not again["is_made"]


@pytest.mark.process
def test_an_unusable_overlay_is_told(box: Box, box_run: Run) -> None:
    box_run("install", "f")
    box.here = box.here._replace(python="3.99")
    page = box_run("list").out
    assert "f       unusable" in page
    assert (
        "made for Python 3.11 and torch 2.13, here are 3.99 and 2.13: `voiced engine install f --force`"
        in page
    )


@pytest.mark.process
def test_pip_that_fails_names_its_words(
    run: Run, user: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    ran = run("engine", "install", "piper")
    log = user / "root" / "data" / "engines" / "piper.log"
    assert ran.code == Exit.DATA
    assert "piper was not installed: pip finds no wheel of" in ran.err
    assert str(log) in ran.err
    assert log.exists()
    assert not Overlays(log.parent).info("piper").is_installed


@pytest.mark.process
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, 128 + 15)])
def test_an_interrupted_installation_leaves_nothing(user: Path, number: int, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        index = f"http://127.0.0.1:{server.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "voiced", "engine", "install", "piper"],
            env=kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index},
            stderr=subprocess.PIPE,
        )
        with server.accept()[0]:
            process.send_signal(number)
            _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (code, b"")
    assert [entry.name for entry in (user / "root" / "data" / "engines").iterdir()] == [".lock"]
