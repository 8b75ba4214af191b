"""What models can do, over restarts."""

from pathlib import Path

import pytest

from voiced.models.ability_cache import AbilityCache

READY = {"type": "ready", "sample_rate_hz": 24000, "languages": ["en"]}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    AbilityCache(tmp_path / "new").write("mms--eng", "1", READY)
    assert AbilityCache(tmp_path / "new").read("mms--eng", "1") == READY


def test_another_install_is_another_model(tmp_path: Path) -> None:
    AbilityCache(tmp_path).write("mms--eng", "1", READY)
    assert AbilityCache(tmp_path).read("mms--eng", "2") == {}
    assert AbilityCache(tmp_path).read("mms--deu", "1") == {}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1}', '{"version": 0, "install": "1", "ready": {}}']
)
def test_what_cannot_be_read_is_not_there(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    assert AbilityCache(tmp_path).read("x", "1") == {}


def test_a_disk_that_takes_nothing_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    AbilityCache(tmp_path / "file" / "below").write("x", "1", READY)
    assert AbilityCache(tmp_path / "file" / "below").read("x", "1") == {}
