"""Pictures that become covers, and files that do not."""

import base64
import os
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from voiced.audio import cover
from voiced.audio.cover import Cover, NoCover, picture_block, read_cover


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (30, 20), **options: bool) -> bytes:
    """Return a picture file."""
    file = BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode", "depth_bits"),
    [
        ("PNG", "RGB", 24),
        ("PNG", "RGBA", 32),
        ("PNG", "L", 8),
        ("PNG", "P", 24),
        ("PNG", "1", 1),
        ("JPEG", "RGB", 24),
        ("JPEG", "L", 8),
        ("JPEG", "CMYK", 32),
    ],
)
def test_a_picture_is_known_by_its_content(tmp_path: Path, kind: str, mode: str, depth_bits: int) -> None:
    data = picture(kind, mode)
    (tmp_path / "cover.txt").write_bytes(data)
    assert read_cover(tmp_path / "cover.txt") == Cover(data, f"image/{kind.lower()}", 30, 20, depth_bits)


def test_a_progressive_jpeg(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(picture("JPEG", progressive=True))
    assert read_cover(tmp_path / "c")[1:4] == ("image/jpeg", 30, 20)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"<svg/>",
        picture("PNG")[:20],
        picture("PNG").replace(b"IHDR", b"IDAT", 1),
        picture("JPEG")[:30],
        b"\xff\xd8\xff" + bytes(100),
        b"\xff\xd8\xff\xe0\x00\x00" * 10,
        picture("JPEG").replace(b"\x00\x14\x00\x1e", bytes(4), 1),  # no height and no width
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "c").write_bytes(data)
    with pytest.raises(NoCover):
        read_cover(tmp_path / "c")


def test_what_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoCover, match="cannot be read"):
        read_cover(tmp_path / "none")
    with pytest.raises(NoCover):
        read_cover(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NoCover, match="no regular file"):
        read_cover(tmp_path / "pipe")
    data = picture("PNG")
    (tmp_path / "c").write_bytes(data)
    monkeypatch.setattr(cover, "MAX_BYTES", len(data))
    assert read_cover(tmp_path / "c").data == data
    monkeypatch.setattr(cover, "MAX_BYTES", len(data) - 1)
    with pytest.raises(NoCover, match="larger"):
        read_cover(tmp_path / "c")


@given(st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]), st.binary(max_size=100))
def test_no_file_can_do_more_than_be_refused(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile"
    path.write_bytes(start + rest)
    try:
        found = read_cover(path)
    except NoCover:
        return
    assert found.data == start + rest
    assert found.width
    assert found.height


def test_the_block_of_a_flac() -> None:
    block = base64.b64decode(picture_block(Cover(b"data", "image/png", 3, 2, 24)))
    assert block[:8] == b"\0\0\0\3\0\0\0\x09"
    assert block[8:17] == b"image/png"
    assert block[17:] == bytes(4) + b"\0\0\0\3\0\0\0\2\0\0\0\x18\0\0\0\0\0\0\0\4data"
