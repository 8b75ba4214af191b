"""The growing file and the text beside it."""

import os
from pathlib import Path

import pytest

from voiced.audio.wav import WAV_HEADER_BYTES
from voiced.jobs.spool import FileText, MemoryText, PartFile, discard
from voiced.segments import Break, Segment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audio" / "job.part"


def test_pieces_lie_behind_the_room_for_the_header(path: Path) -> None:
    part = PartFile(path, 0)
    part.writer(0, [b"abcd", b"ef"])()
    part.writer(6, [b"gh"])()
    part.writer(0, [b"abcd", b"ef"])()  # a repeated one does no harm
    part.close()
    assert path.read_bytes() == bytes(WAV_HEADER_BYTES) + b"abcdefgh"
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_the_ledger_does_not_know_is_cut_off(path: Path) -> None:
    part = PartFile(path, 0)
    part.writer(0, [b"abcdefgh"])()
    part.close()
    part = PartFile(path, 4)
    part.writer(4, [b"EF"])()
    part.close()
    assert path.read_bytes()[WAV_HEADER_BYTES:] == b"abcdEF"


def test_a_file_shorter_than_the_ledger_is_refused(path: Path) -> None:
    PartFile(path, 0).close()
    probe = os.open(path, os.O_RDONLY)
    os.close(probe)
    with pytest.raises(OSError, match="the ledger knows of 90"):
        PartFile(path, 10)
    again = os.open(path, os.O_RDONLY)
    os.close(again)
    assert again == probe  # no descriptor was left behind


def test_a_file_that_is_gone_is_refused_once_something_was_committed(path: Path) -> None:
    with pytest.raises(OSError, match="the ledger"):
        PartFile(path, 2)


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=r"link|loop|symbolic"):
        PartFile(path, 0)


def test_nothing_counts_behind_a_piece_that_is_missing(path: Path) -> None:
    part = PartFile(path, 0)
    first, second = part.writer(0, [b"ab"]), part.writer(2, [b"cd"])
    held = part._descriptor
    part._descriptor = -1  # the disk refuses
    with pytest.raises(OSError, match="descriptor"):
        first()
    part._descriptor = held  # and takes again
    with pytest.raises(OSError, match="earlier piece"):
        second()
    part.close()


def test_the_header_goes_into_its_room(path: Path) -> None:
    part = PartFile(path, 0)
    part.writer(0, [b"ab"])()
    part.write_header(b"H" * WAV_HEADER_BYTES)
    part.close()
    part.close()
    assert path.read_bytes() == b"H" * WAV_HEADER_BYTES + b"ab"


TEXT = "héllo wörld"
SEGMENTS = [Segment(0, 6, 0, 7, "en", Break.SENTENCE), Segment(6, 11, 7, 13, "en", Break.END)]


def test_a_text_is_read_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    for source in (MemoryText(TEXT.encode()), FileText(tmp_path / "text")):
        assert [source.read(segment) for segment in SEGMENTS] == ["héllo ", "wörld"]
        source.close()
        source.close()


def test_a_text_cut_short_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXT.encode()[:9])
    source = FileText(tmp_path / "text")
    with pytest.raises(OSError, match="cut short at byte 9"):
        source.read(SEGMENTS[1])
    source.close()


def test_a_text_with_other_bytes_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXT.encode()[:7] + b"w\xffrld!")
    source = FileText(tmp_path / "text")
    with pytest.raises(OSError, match="damaged at byte 8"):
        source.read(SEGMENTS[1])
    source.close()


def test_discarding_twice(tmp_path: Path) -> None:
    (tmp_path / "plan").write_bytes(b"a plan")
    discard(tmp_path)
    discard(tmp_path)
    assert not tmp_path.exists()


def test_closing_twice_closes_nobody_elses_file(path: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT, encoding="utf-8")
    part, text = PartFile(path, 0), FileText(tmp_path / "text")
    part.close()
    text.close()
    others = [os.open(tmp_path / "text", os.O_RDONLY) for _ in range(2)]
    part.close()
    text.close()
    for descriptor in others:
        os.fstat(descriptor)
        os.close(descriptor)
