"""Every engine family through the real command and its real package, on the tiny checkpoints of the tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import DaemonProcess, running_daemon, temporary_home
from tests.system import engine_box as box
from tests.system.installed import build, import_model, link_overlay, without_faults
from tests.system.recordings import record, voiced

TEXT = "Hello there, my friend."
LONG = " ".join(f"This is sentence number {n} of a long story." for n in range(60))
ANNA = ("--voice", "anna")

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]


def _as_built(folder: Path) -> Path:
    return folder


class Case(NamedTuple):
    """A model, and how its checkpoint is made."""

    model: str
    family: str
    builder: str
    arguments: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Of `voiced say`."""
    rate_hz: int = 24_000
    mend: Callable[[Path], Path] = _as_built


CASES = (
    Case("piper:en_US-test-medium", "piper", "piper", ("--voice", "en_US-test-medium"), rate_hz=22_050),
    Case("kokoro", "kokoro", "kokoro"),
    *(
        Case(
            f"qwen3-tts:{size}{suffix}",
            "qwen3-tts",
            "qwen3_tts",
            ("--size", size, "--kind", kind),
            options,
            mend=without_faults,
        )
        for size, suffix, kind, options in (
            ("0.6b", "", "base", ANNA),
            ("1.7b", "", "base", ANNA),
            ("0.6b", "-speakers", "custom_voice", ()),
            ("1.7b", "-design", "voice_design", ("--describe", "A calm old man.")),
        )
    ),
    Case("chatterbox", "chatterbox", "chatterbox", (), ANNA, mend=without_faults),
    Case("openaudio-s1-mini", "openaudio", "openaudio", (), ANNA, 44_100, without_faults),
)


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    """A daemon with a voice; families and models come with the tests."""
    with temporary_home() as home, running_daemon(home, VOICED_KEEP_ALIVE_S="-1") as running:
        recording = record(home.root / "anna.wav", seconds=12.0)
        voiced(home, "voice", "add", "anna", str(recording), "--text", "I am Anna.", "--language", "en")
        yield running


def _prepared(daemon: DaemonProcess, case: Case, folder: Path) -> None:
    """Link the family's packages, build the checkpoint with them, import it."""
    overlay = daemon.home.paths.overlays / case.family
    source = overlay if overlay.exists() else link_overlay(daemon.home, case.family)
    built = build(case.builder, folder, *case.arguments, overlay=source.resolve())
    import_model(daemon.home, case.model, case.mend(built))


@pytest.mark.parametrize("case", CASES, ids=[case.model for case in CASES])
def test_import_load_say_drop_cancel_unload(daemon: DaemonProcess, case: Case, tmp_path: Path) -> None:
    home = daemon.home
    _prepared(daemon, case, tmp_path / "published")
    assert box.listed(home, case.model)["family"] == case.family
    told = box.load(home, case.model)
    assert told["device"] == "cpu"
    options = ("--seed", "4", *case.options)
    first = box.say(home, case.model, TEXT, case.rate_hz, *options)
    assert box.say(home, case.model, TEXT, case.rate_hz, *options) == first
    assert box.say(home, case.model, "And another text.", case.rate_hz, *options) != first
    box.drop(daemon, case.model, TEXT, case.rate_hz, *options)
    box.cancel_inside(daemon, case.model, LONG, *options)
    assert box.say(home, case.model, TEXT, case.rate_hz, *options) == first
    box.unload(daemon, case.model)
    assert TEXT not in daemon.log()


def test_a_text_whose_language_the_model_does_not_speak_is_refused_before_a_word(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    case = next(case for case in CASES if case.model == "qwen3-tts:0.6b-speakers")
    _prepared(daemon, case, tmp_path / "published")
    box.load(daemon.home, case.model)
    told = box.refused(daemon.home, case.model, "Niebo jest dziś niebieskie, a słońce świeci od samego rana.")
    assert "seems to be in 'pl'" in told
    box.unload(daemon, case.model)
