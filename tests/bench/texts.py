"""The texts that are spoken: the same on every machine that has the system's licences."""

import functools
from pathlib import Path

TWO_WORDS = "hello world"
TWO_SENTENCES = (
    "The morning light falls across the old wooden table. Nobody remembers why the letters were kept there."
)
BOOK_BYTES = 260_000
QUICK_BOOK_BYTES = 65_000
TEN_HOURS_BYTES = 640_000
"""espeak speaks about 18 bytes a second."""

_LICENCES = Path("/usr/share/common-licenses")
_OWN = Path(__file__).parents[2] / "LICENSE"


def prose(size: int) -> str:
    """Return ASCII prose of `size` bytes: the licences of the system one after the other, as often as it takes."""
    source = _source()
    return (source * (size // len(source) + 1))[:size]


@functools.cache
def _source() -> str:
    files = sorted(path for path in _LICENCES.glob("*") if not path.is_symlink()) or [_OWN]
    return "\n\n".join(path.read_text("ascii", errors="ignore") for path in files) + "\n\n"
