"""What is read, what is refused, and how safely a file is opened."""

import os
import threading
from pathlib import Path

import pytest

from voiced.text.cleaning import clean
from voiced.text.documents import Document, read_document, read_text
from voiced_ipc.errors import DocumentRefused

_MAX_BYTES = 1 << 20


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "A note.txt"
    path.write_bytes("Grüße.\r\nZwei.".encode("cp1252"))
    return path


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("page\fpage", "page\n\npage"),
        ("one\u2029two\u2028three\x85four\vfive", "one\n\ntwo\nthree\nfour\nfive"),
        ("soft\u00adly \ufefftold\x07\x1b", "softly told"),
        ("e\u0301", "é"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_clean(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned
    assert clean(cleaned) == cleaned


def test_a_text_is_read_and_cleaned() -> None:
    assert read_text("Grüße.\r\nZwei.".encode("cp1252")) == "Grüße.\nZwei."


@pytest.mark.parametrize("data", [b"", b" \n\t ", "\ufeff".encode(), "\u00ad\u2028".encode()])
def test_an_empty_document_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentRefused, match="nothing to say"):
        read_text(data)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04 word/document.xml", "Word"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Office"),
        (b"{\\rtf1 Hello}", "Rich text"),
        (b"\x1f\x8b\x08", "compressed"),
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (b"\x7fELF\x02", "program"),
        (b"RIFF\x00\x00\x00\x00WAVE", "sound"),
        (b"text\x01\x02\x03\x04\x05 with controls", "no text"),
        (b"\0" * 100, "no text"),
        (bytes(range(256)) * 10, "no text"),
    ],
)
def test_other_formats_are_refused_with_what_to_do(data: bytes, word: str) -> None:
    with pytest.raises(DocumentRefused, match=word) as caught:
        read_text(data)
    assert "plain text" in caught.value.message


@pytest.mark.parametrize("name", ["a.docx", "a.epub", "a.pdf", "a.odt"])
def test_formats_are_refused_by_name(note: Path, name: str) -> None:
    with pytest.raises(DocumentRefused, match="plain text"):
        read_document(note, _MAX_BYTES, name=name)


def test_a_document_has_its_files_name(note: Path) -> None:
    assert read_document(note, _MAX_BYTES) == Document("A note", "Grüße.\nZwei.")
    assert read_document(note, _MAX_BYTES, name="Other.text").title == "Other"


def test_a_link_is_not_followed(note: Path) -> None:
    link = note.with_name("link.txt")
    link.symlink_to(note)
    with pytest.raises(DocumentRefused, match="link"):
        read_document(link, _MAX_BYTES)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    with pytest.raises(DocumentRefused, match="regular"):
        read_document(pipe, _MAX_BYTES)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentRefused, match="regular"):
        read_document(tmp_path, _MAX_BYTES)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentRefused, match="not there"):
        read_document(tmp_path / "none.txt", _MAX_BYTES)


def test_the_size_is_bounded(note: Path) -> None:
    size = note.stat().st_size
    assert read_document(note, size).text
    with pytest.raises(DocumentRefused, match="at most"):
        read_document(note, size - 1)


def test_another_users_file_is_refused(note: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(note, 12345, -1)
    with pytest.raises(DocumentRefused, match="another user"):
        read_document(note, _MAX_BYTES)


def test_a_file_that_may_not_be_read_is_refused(note: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    note.chmod(0)
    with pytest.raises(DocumentRefused, match="permissions"):
        read_document(note, _MAX_BYTES)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "growing.txt"
    path.write_bytes(b"word " * 4_000_000)
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.is_set():
                file.write(b"more ")

    def try_once() -> bool:
        try:
            read_document(path, 1 << 30)
        except DocumentRefused as error:
            return "changed" in error.message
        return False

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        assert any(try_once() for _ in range(50))
    finally:
        stop.set()
        writer.join()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_a_file_with_more_in_it_than_its_size_is_refused() -> None:
    with pytest.raises(DocumentRefused, match="changed"):
        read_document(Path("/proc/self/status"), _MAX_BYTES, name="a.txt")
