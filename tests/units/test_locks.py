"""The locks of engine families: whole, pinned, hashed, without addresses, and as their .in files ask."""

import os
import re
import subprocess
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.overlays import overlay_of
from voiced.models.overlay import FAMILIES, LOCKS, measure
from voiced.models.overlay_lock import is_forbidden, normal_name, parse_lock

REPOSITORY = Path(__file__).parents[2]
OWN = sorted(family for family, known in FAMILIES.items() if not known.is_main)

# Of what these packages pull in where nobody stops them: web front ends, training, and telemetry.
UNWANTED = frozenset(
    {"gradio", "fastapi", "uvicorn", "wandb", "tensorboard", "lightning", "modelscope", "datasets"}
)


def lock_text(family: str) -> str:
    return (LOCKS / f"{family}.lock").read_text()


def asked(family: str) -> dict[str, str]:
    """What a family's .in file asks for: name to version, empty where it leaves the version open."""
    entries = {}
    for line in (LOCKS / f"{family}.in").read_text().splitlines():
        entry = line.partition("#")[0].partition(";")[0].strip()
        if entry:
            match = re.fullmatch(r"([A-Za-z0-9._-]+)\s*(?:==\s*([^,\s]+)|([<>!~].*))?", entry)
            assert match, f"{family}.in: {line}"
            entries[normal_name(match[1])] = match[2] or ""
    return entries


def test_every_family_has_its_lock_and_no_lock_is_nobodys() -> None:
    assert {path.name for path in LOCKS.iterdir()} == {
        f"{family}.{end}" for family in OWN for end in ("in", "lock")
    }


@pytest.mark.parametrize("family", OWN)
def test_a_lock_is_pinned_and_hashed(family: str) -> None:
    pins = parse_lock(lock_text(family))
    assert pins
    for pin in pins:
        assert pin.hashes, pin.name
        assert len(set(pin.hashes)) == len(pin.hashes), pin.name
        assert not is_forbidden(pin.name), f"{pin.name} belongs to the main environment"
        assert pin.name not in UNWANTED
    if not any(pin.marker for pin in pins):
        assert len({pin.name for pin in pins}) == len(pins)


@pytest.mark.parametrize("family", OWN)
def test_no_address_is_in_it(family: str) -> None:
    for text in (lock_text(family), (LOCKS / f"{family}.in").read_text()):
        assert not re.search(r"://|@|--(?!hash=)|index|/home/|/tmp/", text.replace("voiced.", "")), family


@pytest.mark.parametrize("family", OWN)
def test_a_lock_is_what_its_in_file_asks(family: str) -> None:
    wanted, pins = asked(family), parse_lock(lock_text(family))
    assert {pin.name for pin in pins} == set(wanted)
    for pin in pins:
        assert wanted[pin.name] in ("", pin.version), pin.name


@pytest.mark.process
def test_the_locks_are_in_the_wheel() -> None:
    wheel = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert "daemon/voiced" in wheel["packages"]
    ignored = subprocess.run(
        ["git", "check-ignore", *(str(path) for path in LOCKS.iterdir())],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if (REPOSITORY / ".git").exists():
        assert ignored.stdout == ""


def test_the_script_that_makes_them_asks_for_what_these_tests_hold() -> None:
    script = (REPOSITORY / ".ci" / "lock").read_text()
    for option in (
        "--no-deps",
        "--generate-hashes",
        "--no-emit-index-url",
        "--universal",
        "--python-version 3.11",
    ):
        assert option in script
    assert os.access(REPOSITORY / ".ci" / "lock", os.X_OK)


# -- where overlays are installed --------------------------------------------------------------------------------


@pytest.mark.engines
@pytest.mark.parametrize("family", OWN)
def test_an_overlay_is_as_its_family_says(family: str) -> None:
    known = FAMILIES[family]
    # What compiles for minutes is not made everywhere, and what is for one machine only there.
    group = "macos" if known.platform else "llama" if known.compiled else "engines"
    folder = overlay_of(family, group)
    size = measure(folder)[1]
    assert known.disk_bytes / 3 <= size <= known.disk_bytes
    named = " ".join(known.licences)
    for distribution in distributions(path=[str(folder)]):
        facts = distribution.metadata
        fields = [facts.get_all(field) or [] for field in ("License-Expression", "License", "Classifier")]
        said = " ".join(str(words)[:200] for field in fields for words in field)
        if re.search(r"\bA?GPL|GNU (Affero )?General Public", said):
            assert normal_name(facts["Name"]) in named, f"{facts['Name']}: {said}"
