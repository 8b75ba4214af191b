import contextlib
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from voiced.files.names import MAX_NAME_BYTES, free_name, printable, shorten, split_suffix

NAMES = st.binary(min_size=1, max_size=MAX_NAME_BYTES).map(
    lambda data: os.fsdecode(data.replace(b"/", b"_").replace(b"\0", b"_"))
)


@given(name=NAMES.filter(lambda name: name not in (".", "..")), n=st.integers(1, 10**6))
def test_free_names_fit_keep_their_suffix_and_differ(name: str, n: int) -> None:
    folder = Path("/folder")
    one, other = free_name(folder, name, n), free_name(folder, name, n + 1)
    assert one != other
    for path in (one, other):
        assert path.parent == folder
        assert len(os.fsencode(path.name)) <= MAX_NAME_BYTES
        assert path.name.endswith(split_suffix(name)[1])
    assert free_name(folder, name, 1).name == name


@given(name=NAMES, suffix=st.sampled_from(["", ".wav", ".txt.error.txt", ".語"]))
def test_shortened_names_fit_and_begin_as_before(name: str, suffix: str) -> None:
    short = shorten(name, suffix)
    data = os.fsencode(short)
    assert len(data) <= MAX_NAME_BYTES
    assert short.endswith(suffix)
    assert os.fsencode(name).startswith(data.removesuffix(os.fsencode(suffix)))
    if len(os.fsencode(name + suffix)) <= MAX_NAME_BYTES:
        assert short == name + suffix


@given(text=st.text(min_size=60, max_size=120))
def test_shortening_cuts_no_character(text: str) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        text.encode()
        assert text.startswith(shorten(text, ".wav").removesuffix(".wav"))


@given(name=NAMES)
def test_printable_is_one_line_of_utf8(name: str) -> None:
    shown = printable(name)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown


def test_printable_leaves_ordinary_names_alone() -> None:
    for name in ("book.txt", "Grüße 語\u3000本.txt", "\u0645\u06cc\u200c\u062e.txt"):
        assert printable(name) == name
    assert printable(Path(os.fsdecode(b"a\xff\n\xe2\x80\xae.txt"))) == r"a\xff\n\u202e.txt"
