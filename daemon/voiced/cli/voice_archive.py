"""A voice in one file: its recordings and `voice.json` in a zip. What comes back in is looked at with suspicion."""

import zipfile
from pathlib import Path

from voiced.cli.exits import CommandFailed, Exit
from voiced.models.voices import VOICE_FILE, Voice, read_voice
from voiced_ipc.errors import InvalidRequest

MAX_FILES = 17
"""16 recordings and `voice.json`."""
MAX_FILE_BYTES = 64 << 20
"""Two minutes at the greatest rate that is taken."""


def pack_voice(voice: Voice, target: Path) -> None:
    """Write a voice into a file that is not there yet.

    Raises:
        CommandFailed: If the file is there already.
        OSError: If it cannot be written; nothing is left.
    """
    try:
        # A zip knows the years 1980 to 2107, and a clock may have been wrong when the voice was made.
        with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
            for name in (VOICE_FILE, *(recording.file for recording in voice.recordings)):
                archive.write(voice.folder / name, f"{voice.voice}/{name}")
    except FileExistsError:
        raise CommandFailed(f"{target} is there already; choose another name", Exit.CANNOT_CREATE) from None
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def unpack_voice(file: Path, folder: Path) -> Voice:
    """Return the voice in a file, unpacked below `folder`.

    Raises:
        CommandFailed: If it is none.
        OSError: If it cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return _unpack(archive, folder)
    except FileNotFoundError as error:
        raise CommandFailed(f"{file}: no such file", Exit.NO_INPUT) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
        raise CommandFailed(
            f"{file} is no voice that `voiced voice export` wrote ({error})", Exit.DATA
        ) from error


def _unpack(archive: zipfile.ZipFile, folder: Path) -> Voice:
    """Unpack by names of our own choosing: those in the file only have to be among them.

    Raises:
        ValueError: If it holds anything else.
    """
    members = [member for member in archive.infolist() if not member.is_dir()]
    names = [member.filename.split("/") for member in members]
    voice = names[0][0] if names else ""
    allowed = {VOICE_FILE, *(f"ref-{number}.wav" for number in range(1, MAX_FILES))}
    if not all(len(parts) == 2 and parts[0] == voice and parts[1] in allowed for parts in names):
        raise ValueError("it holds other files")
    if len(members) > MAX_FILES or len({tuple(parts) for parts in names}) < len(names):
        raise ValueError("it holds too many files")
    place = folder / "voice"
    place.mkdir()
    for member, (_, name) in zip(members, names, strict=True):
        with archive.open(member) as source:
            content = source.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"{name} is too long")
        (place / name).write_bytes(content)
    try:
        found = read_voice(place, voice)
    except (KeyError, TypeError, OSError, InvalidRequest) as error:
        raise ValueError(f"its {VOICE_FILE} cannot be used") from error
    missing = [recording.file for recording in found.recordings if not (place / recording.file).exists()]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    return found
