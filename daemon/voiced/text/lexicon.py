"""The lexicon: how single words are to be spoken, as the user wrote it into `lexicon.toml`.

An entry holds for whole words: its ends are ends of words in the text, too. Signs of scripts that put no spaces
between words count as words each, so there it is the string itself; a Korean word may carry a particle. Of several
entries that fit at a place the longest wins, then the one of the nearer language, then the one that heeds case.
What an entry gives is never looked at again.

Pure. Small texts are planned inside the daemon, so this module imports little. Any thread.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

MAX_WORD_CHARS = 100
MAX_SPOKEN_CHARS = 200
CASES = ("fold", "exact")
_LANGUAGE = r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*"

_SOLID = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17d3\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff"
)
"""Signs of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, kana, Han."""
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0900-\u0963\u0971-\u0df3\u200c\u200d"
)
"""What belongs to a word though Python's \\w lacks it: accents, vowel signs of Hebrew, Arabic and India, joiners."""
_WORD = rf"(?:[^\W{_SOLID}]|[{_MARKS}])+"
_HANGUL = "[\uac00-\ud7a3]+"
_PARTICLE = (
    "은|는|이|가|을|를|의|에|도|만|로|으로|와|과|랑|이랑|에서|에게|께|께서|한테|부터|까지|처럼|보다|이나|나|라도|이라도|마다|조차|밖에"
    "|에는|에도|에서는|에게는|으로는|로는|와는|과는|이다|입니다|이며|이고"
)


class Entry(NamedTuple):
    """How one word, or several in a row, are spoken."""

    word: str
    spoken: str
    """Empty = the word is passed over."""
    language: str = ""
    """BCP 47 tag; `en` holds for `en-GB` too. Empty = every language."""
    case: str = ""
    """`fold` = in any case, `exact` = as written; empty = exact where the word has capitals."""

    @property
    def is_exact(self) -> bool:
        """Whether case counts."""
        return self.case == "exact" if self.case else self.word != self.word.lower()

    @property
    def key(self) -> tuple[str, str, bool]:
        """What two entries must not share: word, language, whether case counts."""
        return _plain(self.word, folds=not self.is_exact), self.language.lower(), self.is_exact


class Piece(NamedTuple):
    """A stretch of a text in its spoken form."""

    text: str
    is_fixed: bool
    """An entry gave it: nothing else may change it."""
    chars: int
    """How long it is as it was written."""


class Lexicon:
    """Entries, made ready to be looked up."""

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        self.entries = tuple(entries)
        self._by_key: dict[tuple[str, str, bool], Entry] = {entry.key: entry for entry in entries}
        self._languages = frozenset(entry.language.lower() for entry in entries)
        self._lengths = _lengths(self.entries)

    def spoken(self, text: str, language: str) -> str | None:
        """Return the spoken form of a text; None = nothing changes."""
        pieces = self.pieces(text, language)
        return None if pieces is None else "".join(piece.text for piece in pieces)

    def pieces(self, text: str, language: str) -> list[Piece] | None:
        """Return a text cut at the words that entries change; None = there is none.

        Args:
            text: A segment.
            language: BCP 47 tag of the text.
        """
        if not self.entries:
            return None
        tags = [tag for tag in _nearest_first(language) if tag in self._languages]
        pieces: list[Piece] = []
        done = 0
        if tags:
            for start, end, entry in self._matches(text, tags):
                if start > done:
                    pieces.append(Piece(text[done:start], False, start - done))
                pieces.append(Piece(entry.spoken, True, end - start))
                done = end
        if not done:
            return None
        if done < len(text):
            pieces.append(Piece(text[done:], False, len(text) - done))
        return pieces

    def _matches(self, text: str, tags: list[str]) -> Iterator[tuple[int, int, Entry]]:
        """Return (start, end, entry) from the beginning to the end, none overlapping."""
        spans = [match.span() for match in _token().finditer(text)]
        place = 0
        while place < len(spans):
            found = self._match_at(text, spans, place, tags)
            if found is None:
                place += 1
                continue
            length, end, entry = found
            yield spans[place][0], end, entry
            place += length

    def _match_at(
        self, text: str, spans: list[tuple[int, int]], place: int, tags: list[str]
    ) -> tuple[int, int, Entry] | None:
        """Return how many tokens from a place on an entry takes, where its words end, and the entry."""
        start, stop = spans[place]
        first = text[start:stop]
        lengths = self._lengths.get(_plain(first, folds=True), ())
        if re.fullmatch(_HANGUL, first):
            lengths = (*lengths, 1)  # with a particle it is no first token of any entry
        for length in lengths:
            for end in _word_ends(text, *spans[place + length - 1]) if place + length <= len(spans) else ():
                entry = self._find(text[start:end], tags)
                if entry is not None:
                    return length, end, entry
        return None

    def _find(self, words: str, tags: list[str]) -> Entry | None:
        folded, exact = _plain(words, folds=True), _plain(words, folds=False)
        for tag in tags:
            entry = self._by_key.get((exact, tag, True)) or self._by_key.get((folded, tag, False))
            if entry is not None:
                return entry
        return None


def check(entry: Entry) -> str:
    """Return what is wrong with an entry and what is allowed; empty = nothing."""
    if not entry.word.strip() or len(entry.word) > MAX_WORD_CHARS or _is_odd(entry.word):
        return f"word cannot be used; allowed: 1 to {MAX_WORD_CHARS} characters on one line"
    if len(entry.spoken) > MAX_SPOKEN_CHARS or _is_odd(entry.spoken):
        return f"spoken cannot be used; allowed: at most {MAX_SPOKEN_CHARS} characters on one line"
    if entry.language and not re.fullmatch(_LANGUAGE, entry.language):
        return f"language {entry.language!r} cannot be used; allowed: a BCP 47 tag such as en or de-AT"
    if entry.case and entry.case not in CASES:
        return f"case {entry.case!r} cannot be used; allowed: {' or '.join(CASES)}"
    return ""


def _is_odd(text: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


# -- looking up ---------------------------------------------------------------------------------------


def _plain(words: str, *, folds: bool) -> str:
    """Return words as they are compared: one space between, accents composed, without case where it does not count."""
    if not words.isascii():
        words = unicodedata.normalize("NFC", words).replace("’", "'")  # noqa: RUF001 (the marks themselves)
        if folds:
            words = words.replace("İ", "i")  # whose fold has a dot above, which no other i has
    plain = " ".join(words.split())
    return plain.casefold() if folds else plain


@cache
def _token() -> re.Pattern[str]:
    """What a word is; compiled where there are entries, because that takes 10 ms."""
    return re.compile(
        rf"""(?: {_WORD}(?<=n)['’]t(?![\w{_MARKS}])        # don't is one word
         |   ['’](?:s|m|d|re|ve|ll)(?![\w{_MARKS}])    # voiced's is two
         |   {_WORD}
         |   [^\s] )""",  # noqa: RUF001 (the marks themselves)
        re.VERBOSE | re.IGNORECASE,
    )


def _word_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Return where the word in a token may end: at its end, or before a Korean particle, the longest word first."""
    yield end
    if re.fullmatch(_HANGUL, text[start:end]):
        yield from (cut for cut in range(end - 1, start, -1) if re.fullmatch(_PARTICLE, text[cut:end]))


def _lengths(entries: Sequence[Entry]) -> dict[str, tuple[int, ...]]:
    """Return how many tokens the entries have that begin with a token, the greatest number first."""
    found: dict[str, set[int]] = {}
    for entry in entries:
        tokens = _token().findall(entry.word)
        found.setdefault(_plain(tokens[0], folds=True), set()).add(len(tokens))
    return {token: tuple(sorted(lengths, reverse=True)) for token, lengths in found.items()}


def _nearest_first(language: str) -> Iterator[str]:
    tag = language.lower()
    while tag:
        yield tag
        tag = tag.rpartition("-")[0]
    yield ""
