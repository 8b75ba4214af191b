"""`voiced lexicon`: how single words are spoken. The file is the user's own; the daemon only reads it."""

import argparse
import sys
from pathlib import Path

from voiced.cli.connect import connect, is_listening
from voiced.cli.exits import CommandFailed, Exit
from voiced.cli.output import print_json, print_lines
from voiced.cli.parser import add_json
from voiced.cli.part import Part
from voiced.cli.text import printable, table
from voiced.text.lexicon import CASES, Entry, Lexicon, check
from voiced.text.lexicon_file import MAX_ENTRIES, parse_lexicon, read_lexicon, with_entry, without_entries
from voiced_ipc.errors import VoicedError


def _declare(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="say how a word is spoken; replaces what was said of it")
    add.add_argument("word", metavar="WORD", help="one word, or several in a row")
    add.add_argument("spoken", metavar="SPOKEN", help="what is spoken in its place; '' passes it over")
    add.add_argument("--language", metavar="TAG", default="", help="in texts of this language only")
    add.add_argument(
        "--case", choices=CASES, default="", help="usually a lower-case WORD stands for any case (fold)"
    )
    listing = actions.add_parser("list", help="show all entries")
    add_json(listing)
    remove = actions.add_parser("remove", help="speak a word as it is written again")
    remove.add_argument("word", metavar="WORD", help="as `list` shows it")
    remove.add_argument("--language", metavar="TAG", default=None, help="the entry of this language only")
    shown = actions.add_parser("try", help="show how a text is spoken")
    shown.add_argument("text", metavar="TEXT", nargs="+")
    shown.add_argument("--language", metavar="TAG", default="", help="of the text; else it is found out")
    shown.add_argument(
        "--numbers",
        action="store_true",
        help="also put numbers in words, as for models that read letters only",
    )
    shown.add_argument("--play", action="store_true", help="let it be heard, too")
    add_json(shown)


def _run(options: argparse.Namespace) -> int:
    return {"add": _add, "list": _list, "remove": _remove, "try": _try}[options.action](options)


def _add(options: argparse.Namespace) -> int:
    entry = Entry(options.word, options.spoken, options.language, options.case)
    if problem := check(entry):
        raise CommandFailed(problem, Exit.USAGE)
    path = _path()
    text = _read(path)
    lexicon, _ = parse_lexicon(text)
    if len(lexicon.entries) >= MAX_ENTRIES and entry.key not in (one.key for one in lexicon.entries):
        raise CommandFailed(f"there are {MAX_ENTRIES} entries already; remove some", Exit.DATA)
    _write(path, with_entry(text, entry), {one.key for one in lexicon.entries} | {entry.key})
    print(f"{_shown(entry)} is spoken {printable(entry.spoken)!r}")
    _tell_daemon()
    return Exit.OK


def _remove(options: argparse.Namespace) -> int:
    path = _path()
    text = _read(path)
    wanted = " ".join(options.word.split()).casefold()
    lexicon, _ = parse_lexicon(text)
    language = None if options.language is None else options.language.lower()
    gone = [
        entry
        for entry in lexicon.entries
        if " ".join(entry.word.split()).casefold() == wanted and language in (None, entry.language.lower())
    ]
    if not gone:
        where = f" for {printable(options.language)!r}" if options.language else ""
        raise CommandFailed(
            f"no entry {printable(options.word)!r}{where}; `voiced lexicon list` shows those there are",
            Exit.DATA,
        )
    keys = {entry.key for entry in gone}
    _write(
        path,
        without_entries(text, lambda entry: entry.key in keys),
        {entry.key for entry in lexicon.entries} - keys,
    )
    for entry in gone:
        print(f"{_shown(entry)} is spoken as it is written")
    _tell_daemon()
    return Exit.OK


def _list(options: argparse.Namespace) -> int:
    path = _path()
    lexicon, problems = read_lexicon(path)
    if options.json:
        entries = [_document(entry) for entry in lexicon.entries]
        print_json({"file": str(path), "entries": entries, "problems": list(problems)})
    elif lexicon.entries:
        print_lines(entries_page(lexicon))
    else:
        print("no entries; `voiced lexicon add WORD SPOKEN` makes one")
    if not options.json:
        _tell_problems(problems)
    return Exit.CONFIG if problems else Exit.OK


def entries_page(lexicon: Lexicon) -> list[str]:
    """Return the entries as a table."""
    rows = [
        (
            printable(entry.word),
            printable(entry.spoken) or "-",
            entry.language or "every",
            "exact" if entry.is_exact else "any",
        )
        for entry in lexicon.entries
    ]
    return table(("WORD", "SPOKEN", "LANGUAGE", "CASE"), rows)


def _try(options: argparse.Namespace) -> int:
    from voiced.text.spoken import spoken_form

    text = " ".join(options.text)
    lexicon, problems = read_lexicon(_path())
    language = options.language or _language_of(text)
    form = spoken_form(text, language, lexicon, spells_numbers=options.numbers)
    is_changed = form is not None
    spoken = text if form is None else form.text
    if options.json:
        print_json({"text": text, "spoken": spoken, "language": language, "is_changed": is_changed})
    else:
        print(printable(spoken))
        _tell_problems(problems)
    if options.play:
        from voiced.cli.dispatch import part_of
        from voiced.cli.parser import command_parser

        part = part_of("say")
        words = ["--language", language, "--", spoken if options.numbers else text]
        return part.run(command_parser("say", part).parse_args(words))
    return Exit.OK


def _language_of(text: str) -> str:
    from voiced.config import load_config
    from voiced.paths import find_paths
    from voiced.text.language import detect_language

    config, _ = load_config(find_paths())
    return config.language or detect_language(text, "en")


# -- the file -----------------------------------------------------------------------------------------


def _path() -> Path:
    from voiced.paths import find_paths

    return find_paths().lexicon_file


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise CommandFailed(
            f"{path}: is not UTF-8; save it as UTF-8, or move it away", Exit.CONFIG
        ) from error


def _write(path: Path, text: str, keys: "set[tuple[str, str, bool]]") -> None:
    """Write the changed file, if it says what it should: damage in it must not swallow an entry."""
    from voiced.files.atomic import write_atomically

    lexicon, problems = parse_lexicon(text)
    if {entry.key for entry in lexicon.entries} != keys:
        reason = f" ({problems[0]})" if problems else ""
        raise CommandFailed(f"{path}: is damaged{reason}; mend it, then try again", Exit.CONFIG)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A link to a file kept elsewhere stays one.
    write_atomically(path.resolve(), text.encode())


def _tell_daemon() -> None:
    """Let a daemon that runs read the file again; one that does not answer will read it at its next start."""
    if not is_listening():
        return
    try:
        with connect() as client:
            client.reload()
    except VoicedError as error:
        print(f"voiced: the daemon did not read it again ({error.message}); `voiced reload`", file=sys.stderr)


def _tell_problems(problems: tuple[str, ...]) -> None:
    for problem in problems:
        print(f"voiced: {printable(problem)}", file=sys.stderr)


def _shown(entry: Entry) -> str:
    return printable(entry.word) + (f" ({entry.language})" if entry.language else "")


def _document(entry: Entry) -> dict[str, object]:
    return {**entry._asdict(), "case": "exact" if entry.is_exact else "fold"}


PARTS = {
    "lexicon": Part(
        _declare,
        _run,
        (
            "voiced lexicon add voiced voist",
            "voiced lexicon add SQL sequel --language en",
            "voiced lexicon add nasa 'N A S A' --case fold",
            "voiced lexicon try 'voiced reads SQL.'",
            "voiced lexicon list",
            "voiced lexicon remove SQL",
        ),
        "Whole words, the longest first. A lower-case WORD stands for any case, one with capitals for itself.\n"
        "Jobs that were accepted before keep what they had. The file is lexicon.toml beside the settings.",
    )
}
