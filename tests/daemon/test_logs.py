"""The log: a file that rotates, whatever is written to it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from voiced import logs


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []  # pytest's own would keep what a report cannot hold: names that are no UTF-8
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(level)


def test_what_is_told_lands_in_the_file(tmp_path: Path) -> None:
    logs.start_logging(tmp_path / "voiced.log", "info")
    logging.getLogger("voiced.x").info("job %s", "a1")
    logging.getLogger("voiced.x").debug("hidden")
    logs.set_level("debug")
    logging.getLogger("voiced.x").debug("shown")
    lines = (tmp_path / "voiced.log").read_text().splitlines()
    assert [line.partition("voiced.x: ")[2] for line in lines] == ["job a1", "shown"]
    assert "INFO" in lines[0]


def test_names_that_are_no_utf8_do_not_stop_it(tmp_path: Path) -> None:
    logs.start_logging(tmp_path / "voiced.log", "info")
    logging.getLogger("voiced.x").info("%s", b"caf\xe9".decode("utf-8", "surrogateescape"))
    assert (tmp_path / "voiced.log").read_text().endswith("caf\\udce9\n")


def test_it_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_FILE_BYTES", 2000)
    logs.start_logging(tmp_path / "voiced.log", "info")
    for number in range(500):
        logging.getLogger("voiced.x").info("line %d", number)
    files = sorted(tmp_path.iterdir())
    assert len(files) == logs._FILES
    assert all(file.stat().st_size <= 2000 for file in files)
    assert "line 499" in (tmp_path / "voiced.log").read_text()


def test_nothing_is_written_before_there_is_something_to_tell(tmp_path: Path) -> None:
    logs.start_logging(tmp_path / "voiced.log", "warning")
    logging.getLogger("voiced.x").info("quiet")
    assert list(tmp_path.iterdir()) == []


def test_the_journal_gets_lines_without_a_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1234")
    logs.start_logging(tmp_path / "voiced.log", "info")
    logging.getLogger("voiced.x").warning("hello")
    assert capsys.readouterr().err == "WARNING voiced.x: hello\n"
