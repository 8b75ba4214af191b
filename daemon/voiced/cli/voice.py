"""`voiced voice`: voices made from recordings or from words."""

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from voiced.cli.connect import connect_or_start
from voiced.cli.exits import CommandFailed, Exit
from voiced.cli.output import document, print_json, print_lines
from voiced.cli.parser import add_json, add_no_start
from voiced.cli.part import Part
from voiced.cli.text import counted, printable, span, table
from voiced.cli.voice_archive import pack_voice, unpack_voice
from voiced.models.voices import Voice, Voices
from voiced_ipc import messages as m


def _declare(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="make a voice of recordings, or of a description")
    add.add_argument("name", metavar="NAME", help="letters, digits, - and _")
    add.add_argument("files", metavar="RECORDING", nargs="*", help="10 to 30 s of one person speaking each")
    add.add_argument(
        "--text",
        metavar="WORDS",
        action="append",
        default=[],
        help="what is said in the first recording, in the second ...",
    )
    add.add_argument(
        "--language", metavar="TAG", default="", help="what is spoken in them: en, de, fr-CA ..."
    )
    add.add_argument(
        "--describe", metavar="WORDS", default="", help="the voice in words, for models that heed them"
    )
    add.add_argument("--replace", action="store_true", help="put it in the place of one of the same name")
    add_json(add)
    listing = actions.add_parser("list", help="show the voices that were added")
    add_json(listing)
    remove = actions.add_parser("remove", help="remove voices")
    remove.add_argument("names", metavar="NAME", nargs="+")
    export = actions.add_parser("export", help="write a voice into a file")
    export.add_argument("name", metavar="NAME")
    export.add_argument("file", metavar="FILE.zip")
    taken = actions.add_parser("import", help="add the voice that `export` wrote")
    taken.add_argument("file", metavar="FILE.zip")
    taken.add_argument("--name", metavar="NAME", default="", help="another name for it")
    taken.add_argument("--replace", action="store_true", help="put it in the place of one of the same name")
    add_json(taken)
    for each in (add, remove, taken):
        add_no_start(each)


def _run(options: argparse.Namespace) -> int:
    actions = {"add": _add, "list": _list, "remove": _remove, "export": _export, "import": _import}
    return actions[options.action](options)


def _add(options: argparse.Namespace) -> int:
    if not options.files and not options.describe.strip():
        raise CommandFailed("give a recording, or a description with --describe", Exit.USAGE)
    if len(options.text) > len(options.files):
        raise CommandFailed("there is more --text than recordings", Exit.USAGE)
    texts = [*options.text, *[""] * (len(options.files) - len(options.text))]
    recordings = list(zip((_recording(name) for name in options.files), texts, strict=True))
    with connect_or_start(no_start=options.no_start, timeout_s=60.0) as client:
        reply = client.add_voice(
            options.name,
            recordings,
            description=options.describe,
            language=options.language,
            replace=options.replace,
        )
    _tell(reply, as_json=options.json)
    return Exit.OK


def _recording(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        problem = "is no file" if path.exists() else "no such file"
        raise CommandFailed(f"{printable(name)}: {problem}", Exit.NO_INPUT)
    return path


def _tell(reply: m.VoiceReply, *, as_json: bool) -> None:
    if as_json:
        print_json(document(reply))
        return
    voice = reply.voice
    made_of = (
        f"{counted(voice.references, 'recording')}, {span(voice.reference_s)}"
        if voice.references
        else "words"
    )
    print(f"{voice.voice}: made of {made_of}; `voiced say --voice {voice.voice} ...` speaks with it")
    for note in reply.notes:
        print(f"  note: {printable(note)}")


def _list(options: argparse.Namespace) -> int:
    voices = _voices().all()
    if options.json:
        print_json({"voices": [_document(voice) for voice in voices]})
    elif voices:
        print_lines(voices_page(voices))
    else:
        print("no voices were added; `voiced voice add NAME RECORDING.wav` makes one")
    return Exit.OK


def voices_page(voices: list[Voice]) -> list[str]:
    """Return added voices as a table."""
    rows = [
        (
            voice.voice,
            voice.kind,
            voice.language or "-",
            str(len(voice.recordings)),
            span(voice.seconds) if voice.recordings else "-",
            "yes" if any(recording.transcript for recording in voice.recordings) else "-",
            voice.created.partition("T")[0],
            voice.description,
        )
        for voice in voices
    ]
    header = ("VOICE", "KIND", "LANGUAGE", "RECORDINGS", "LENGTH", "TRANSCRIPT", "ADDED", "DESCRIPTION")
    return table(header, rows)


def _document(voice: Voice) -> dict[str, object]:
    return {
        "voice": voice.voice,
        "kind": voice.kind,
        "language": voice.language,
        "description": voice.description,
        "created": voice.created,
        "recordings": [recording._asdict() for recording in voice.recordings],
    }


def _remove(options: argparse.Namespace) -> int:
    with connect_or_start(no_start=options.no_start) as client:
        for name in options.names:
            print(printable(client.remove_voice(name).message))
    return Exit.OK


def _export(options: argparse.Namespace) -> int:
    voice = _voices().find(options.name)
    if voice is None:
        raise CommandFailed(
            f"no voice {options.name!r} was added; `voiced voice list` shows those that were", Exit.DATA
        )
    pack_voice(voice, Path(options.file))
    print(f"{options.file}: the voice {voice.voice} with {counted(len(voice.recordings), 'recording')}")
    return Exit.OK


def _import(options: argparse.Namespace) -> int:
    with _unpacked(Path(options.file)) as voice:
        recordings = [(voice.folder / one.file, one.transcript) for one in voice.recordings]
        with connect_or_start(no_start=options.no_start, timeout_s=60.0) as client:
            reply = client.add_voice(
                options.name or voice.voice,
                recordings,
                description=voice.description,
                language=voice.language,
                replace=options.replace,
            )
    _tell(reply, as_json=options.json)
    return Exit.OK


@contextlib.contextmanager
def _unpacked(file: Path) -> Iterator[Voice]:
    with tempfile.TemporaryDirectory(prefix="voiced-voice-") as folder:
        yield unpack_voice(file, Path(folder))


def _voices() -> Voices:
    from voiced.paths import find_paths

    return Voices(find_paths().voices)


PARTS = {
    "voice": Part(
        _declare,
        _run,
        (
            'voiced voice add anna anna.wav --text "What she says in it."',
            "voiced voice add anna one.wav two.wav --language de --replace",
            'voiced voice add captain --describe "An old man, hoarse, slow."',
            "voiced voice list",
            "voiced voice export anna anna.zip",
        ),
        "Models that clone speak with a voice of recordings: 10 to 30 seconds of one person, without music or echo.\n"
        "Ask the person whose voice it is.",
    )
}
