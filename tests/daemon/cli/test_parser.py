"""Every command: in the table, in the help, and its own examples parse."""

import argparse
import shlex
from typing import Annotated, get_args, get_origin, get_type_hints

import msgspec
import pytest

from tests.daemon.cli.conftest import Run, Voiced
from voiced.cli.commands import COMMANDS
from voiced.cli.completion import SHELLS, full_parser
from voiced.cli.dispatch import part_of
from voiced.cli.exits import Exit
from voiced.cli.parser import between, command_parser
from voiced.cli.speech import add_speech, device, speech_fields
from voiced_ipc import messages as m


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(name: str) -> None:
    text = command_parser(name, part_of(name)).format_help()
    assert "examples:" in text
    assert f"voiced {name}" in text.split("examples:")[1]


@pytest.mark.parametrize(
    ("name", "example"), [(name, example) for name in COMMANDS for example in part_of(name).examples]
)
def test_every_example_parses(name: str, example: str) -> None:
    words = shlex.split(example)
    at = words.index("voiced") + 1
    end = next((place for place, word in enumerate(words) if word in ("|", ">") and place > at), None)
    arguments = words[at:end]
    if arguments[0] == "--version" or part_of(name).takes_all:
        return
    assert arguments[0] == name
    command_parser(name, part_of(name)).parse_args(arguments[1:])


def test_each_file_holds_exactly_the_commands_of_the_table() -> None:
    from importlib import import_module

    for module in {command.module for command in COMMANDS.values()}:
        parts = import_module(f"voiced.cli.{module}").PARTS
        assert set(parts) == {name for name, command in COMMANDS.items() if command.module == module}


def test_the_overview_names_every_command(run: Run) -> None:
    for arguments in (["--help"], ["-h"], ["help"]):
        ran = run(*arguments)
        assert ran.code == Exit.OK
        for name, command in COMMANDS.items():
            assert f"  {name} " in ran.out
            assert command.summary in ran.out


def test_help_of_one_command(run: Run) -> None:
    assert run("help", "say").out == run("say", "--help").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stauts"], ["stauts", "voiced status"]),
        (["zzzzzz"], ["zzzzzz", "voiced --help"]),
        (["status", "--wat"], ["--wat", "voiced status --help"]),
        (["status", "--wa"], ["--wa"]),
        (["job"], ["ID"]),
        (["say", "--speed", "9", "hi"], ["'9'", "0.25 to 4"]),
        (["say", "--device", "gpu", "hi"], ["'gpu'", "cuda:N"]),
        (["lock", "cpu", "--for", "soon"], ["'soon'", "30m"]),
        (["lock", "cpu", "--for", "1h", "--until-pid", "7"], ["not allowed with"]),
        (["cancel"], ["ID"]),
        (["jobs", "--state", "lost"], ["lost"]),
        (["run", "--set", "nonsense"], ["KEY=VALUE"]),
        (["run", "--set", "no_such=1"], ["no_such", "config --example"]),
        (["run", "--set", "device.model=x"], ["device.model"]),
        (["completion", "cmd"], ["cmd"]),
    ],
)
def test_usage_mistakes_are_one_sentence_and_64(run: Run, arguments: list[str], words: list[str]) -> None:
    ran = run(*arguments)
    assert ran.code == Exit.USAGE
    assert ran.out == ""
    assert len(ran.err.strip().splitlines()) == 1
    assert ran.err.startswith("voiced")
    for word in words:
        assert word in ran.err


def test_no_command_is_a_usage_mistake(run: Run) -> None:
    ran = run()
    assert ran.code == Exit.USAGE
    assert "usage: voiced COMMAND" in ran.err


def test_the_ranges_of_options_are_those_of_the_schema() -> None:
    hints = get_type_hints(m.Synthesize, include_extras=True)
    for option, field in (
        ("speed", "speed"),
        ("pitch", "pitch"),
        ("volume", "volume"),
        ("rate", "sample_rate_hz"),
    ):
        low, high = _range(hints[field])
        parser = argparse.ArgumentParser(exit_on_error=False)
        add_speech(parser, is_file=True)
        for number in (low, high):
            assert getattr(parser.parse_args([f"--{option}", f"{number:g}"]), option) == number
        for number in (low - 1, high + 1):
            with pytest.raises(argparse.ArgumentError, match="is not a number from"):
                parser.parse_args([f"--{option}={number:g}"])


def _range(hint: object) -> tuple[float, float]:
    assert get_origin(hint) is Annotated
    meta = get_args(hint)[1]
    assert isinstance(meta, msgspec.Meta)
    assert meta.ge is not None
    assert meta.le is not None
    return meta.ge, meta.le


def test_speech_options_become_fields_that_the_schema_takes() -> None:
    parser = argparse.ArgumentParser()
    add_speech(parser, is_file=True)
    words = (
        "--voice v --language de --model espeak --device CUDA:1 --speed 2 --pitch 0.5 --volume 1.5 "
        "--seed 7 --rate 16000 --keep-alive -1 --truncate"
    )
    fields = speech_fields(parser.parse_args(words.replace("--keep-alive -1", "--keep-alive=-1").split()))
    request = m.Synthesize(request_id=m.new_id(), **fields)
    assert msgspec.convert(msgspec.to_builtins(request), m.Synthesize) == request
    assert request.device == "cuda:1"
    assert request.on_long_text is m.OnLongText.TRUNCATE
    assert (request.seed, request.sample_rate_hz, request.keep_alive_s) == (7, 16000, -1)
    assert isinstance(request.seed, int)


def test_options_that_were_not_given_are_left_to_the_daemon() -> None:
    parser = argparse.ArgumentParser()
    add_speech(parser, is_file=True)
    assert speech_fields(parser.parse_args([])) == {}


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps", "CPU"])
def test_devices(name: str) -> None:
    assert device(name) == name.lower()
    m.SetDeviceLock(request_id=m.new_id(), device=device(name))


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cuda:123", "cpu:0", "cuda:\u0661"])
def test_no_devices(name: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        device(name)


@pytest.mark.parametrize("text", ["nan", "x", "", "inf", "1.5"])
def test_numbers_that_are_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        between(0, 4, int)(text)


def test_nan_is_in_no_range() -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        between(0, 4)("nan")


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_every_command(run: Run, shell: str) -> None:
    ran = run("completion", shell)
    assert ran.code == Exit.OK
    for name in COMMANDS:
        assert name in ran.out


def test_completion_knows_which_options_want_files() -> None:
    subparsers = next(a for a in full_parser()._actions if isinstance(a, argparse._SubParsersAction))
    say = subparsers.choices["say"]
    assert {a.dest for a in say._actions if getattr(a, "complete", None)} == {"file", "output"}


def test_the_version_without_a_daemon(run: Run, voiced: Voiced) -> None:
    import voiced as package

    assert run("--version").out == f"voiced {package.__version__}\n"
    done = voiced("--version")
    assert (done.returncode, done.stdout) == (0, f"voiced {package.__version__}\n".encode())


@pytest.mark.parametrize("name", [name for name in COMMANDS if part_of(name).bare is not None])
def test_what_holds_without_arguments_is_what_the_parser_says(name: str) -> None:
    part = part_of(name)
    assert vars(command_parser(name, part).parse_args([])) == part.bare
