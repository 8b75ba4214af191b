"""`lexicon.toml`: read so that one bad entry costs itself alone, and changed so that nothing else in it is touched.

    [[entry]]
    word = "voiced"
    spoken = "voist"
    language = "en"  # or a BCP 47 tag such as en-GB; without it every language
    case = "fold"    # or exact; without it exact where the word has capitals

Any process; imports little.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from voiced.text.lexicon import MAX_WORD_CHARS, Entry, Lexicon, check

MAX_ENTRIES = 10_000
MAX_PROBLEMS = 20
"""That are told one by one."""
MAX_FILE_BYTES = 8 << 20
"""Ten thousand entries as long as they may be, with room for comments."""
_KEYS = Entry._fields


class Problem(NamedTuple):
    """Something in the file that could not be used."""

    place: str
    """Which entry, or `file`."""
    message: str
    """What is wrong, what is allowed."""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


def parse_lexicon(text: str) -> tuple[Lexicon, tuple[Problem, ...]]:
    """Return the lexicon that a file's text holds, and what could not be used of it; never raises.

    One bad entry costs itself alone, be it no TOML at all. Of entries that say the same, the last holds.
    """
    problems: list[Problem] = []
    entries: dict[tuple[str, str, bool], Entry] = {}
    for number, table in enumerate(_tables(text, problems), 1):
        if isinstance(table, Problem):
            problems.append(table)
            continue
        entry = _entry(table)
        if isinstance(entry, str):
            problems.append(Problem(_place(number, table), entry))
            continue
        if entry.key in entries:
            problems.append(Problem(_place(number, table), "stands there twice; the last one holds"))
        elif len(entries) == MAX_ENTRIES:
            problems.append(Problem("file", f"has more than {MAX_ENTRIES} entries; the first ones hold"))
            break
        entries[entry.key] = entry
    if len(problems) > MAX_PROBLEMS:
        more = Problem("file", f"{len(problems) - MAX_PROBLEMS} more entries cannot be used")
        problems[MAX_PROBLEMS:] = [more]
    return Lexicon(tuple(entries.values())), tuple(problems)


def read_lexicon(path: Path) -> tuple[Lexicon, tuple[str, ...]]:
    """Return the lexicon in a file and what could not be used of it, in words; without a file it is empty."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES >> 20} MiB")
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        return Lexicon(), ()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return Lexicon(), (f"{path}: cannot be read ({reason}); words are spoken as they are written",)
    lexicon, problems = parse_lexicon(text)
    return lexicon, tuple(f"{path}: {problem}" for problem in problems)


class LexiconFile:
    """A lexicon's file as it is now: read again only where it has changed."""

    def __init__(self) -> None:
        self._version: tuple[str, int, int, int] | None = None
        self._lexicon = Lexicon()

    def get(self, path: Path | None) -> Lexicon:
        """Return the lexicon in `path`; problems are told by those who read it at the start."""
        if path is None:
            return Lexicon()
        version = _version(path)
        if version is None or version != self._version:
            self._lexicon, _ = read_lexicon(path)
            self._version = version
        return self._lexicon


# -- from the file to entries -------------------------------------------------------------------------


def _tables(text: str, problems: list[Problem]) -> Iterator[object]:
    """Return what stands as entries; a part of the file that is no TOML comes as its `Problem`."""
    import tomllib

    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        yield from _tables_one_by_one(text)
        return
    problems += (
        Problem(name, "is not known; a lexicon has [[entry]] tables only")
        for name in tables
        if name != "entry"
    )
    listed = tables.get("entry", [])
    if isinstance(listed, list):
        yield from listed
    else:
        problems.append(Problem("entry", "is no list: write [[entry]] in double brackets"))


_HEAD = re.compile(r"^[ \t]*\[\[[ \t]*entry[ \t]*\]\]", re.MULTILINE)


def _tables_one_by_one(text: str) -> Iterator[object]:
    import tomllib

    line = 1
    for part in _parts(text):
        try:
            yield from tomllib.loads(part).get("entry", [])
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            reason = str(error).partition(" (at ")[0]
            yield Problem(f"the entry from line {line} on", f"is no TOML and was left out ({reason})")
        line += part.count("\n")


def _parts(text: str) -> Iterator[str]:
    """Return what stands before the first entry, then each entry with all up to the next."""
    starts = [match.start() for match in _HEAD.finditer(text)]
    for start, end in zip([0, *starts], [*starts, len(text)], strict=True):
        yield text[start:end]


def _entry(table: object) -> Entry | str:
    """Return the entry in a table, or what is wrong with it."""
    if not isinstance(table, Mapping):
        return "is no table: write [[entry]] and below it word = and spoken ="
    for key, value in table.items():
        if key not in _KEYS:
            return f"{key} is not known; allowed: {', '.join(_KEYS)}"
        if not isinstance(value, str):
            return f"{key} is no text in quotes"
    for key in _KEYS[:2]:
        if key not in table:
            return f"{key} is missing"
    entry = Entry(**{key: unicodedata.normalize("NFC", value) for key, value in table.items()})
    return check(entry) or entry


def _place(number: int, table: object) -> str:
    word = table.get("word") if isinstance(table, Mapping) else None
    return f"entry {number}" + (f" ({word[:MAX_WORD_CHARS]!r})" if isinstance(word, str) else "")


def _version(path: Path) -> tuple[str, int, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return str(path), facts.st_ino, facts.st_size, facts.st_mtime_ns


# -- changing it --------------------------------------------------------------------------------------


def with_entry(text: str, entry: Entry) -> str:
    """Return a file's text with an entry at its end; those that say the same go."""
    import json

    kept = without_entries(text, lambda other: other.key == entry.key).rstrip()
    fields = {key: value for key, value in entry._asdict().items() if value or key in _KEYS[:2]}
    # What JSON escapes, TOML reads alike.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    return "\n".join(([kept, ""] if kept else []) + ["[[entry]]", *lines, ""])


def without_entries(text: str, is_unwanted: Callable[[Entry], bool]) -> str:
    """Return a file's text without some entries; comments between entries stay."""
    parts = list(_parts(text))
    kept = [parts[0]]
    for part in parts[1:]:
        entries = parse_lexicon(part)[0].entries
        kept.append(_after_entry(part) if entries and is_unwanted(entries[0]) else part)
    return "".join(kept)


def _after_entry(part: str) -> str:
    """Return what follows an entry's last line: it belongs to the next one."""
    lines = part.splitlines(keepends=True)
    while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines.pop()
    return part[sum(map(len, lines)) :].lstrip("\r\n")
