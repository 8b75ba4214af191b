"""Moves to another device: a copy under its final name on the disk, and only then the source goes; from any thread.

A move that was cut short leaves both, and `end_move` tells them.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from voiced.files.atomic import (
    TEMPORARY_END,
    TEMPORARY_START,
    fsync_folder,
    in_work,
    temporary_file,
    temporary_name,
    write_all,
)

_COPY_BYTES = 1 << 20
# How finely file systems tell times: ext4 and APFS, NTFS and SMB, 9p, exFAT, HFS+, FAT.
_TIME_STEPS_NS = (1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000)


def move_across(source: Path, folder: Path, rename: Callable[[Path], Path]) -> Path:
    """Copy `source` to a hidden name in `folder`, let `rename` give it its name, then let `source` go.

    The order is what keeps it safe: the copy is on the disk under its final name before the source is unlinked.
    """
    mode = source.lstat().st_mode
    if stat.S_ISLNK(mode):
        copy = _copy_link(source, folder)
    elif stat.S_ISREG(mode):
        copy = _copy_file(source, folder)
    else:
        raise OSError(errno.EXDEV, "only files and links go to another device", str(source))
    try:
        placed = rename(copy)
    finally:
        copy.unlink(missing_ok=True)
        in_work.discard(copy.name)
    try:
        fsync_folder(folder)
        source.unlink()
    except OSError:
        placed.unlink()
        raise
    return placed


def end_move(source: Path, copy: Path) -> bool:
    """Let `source` go if `copy` is what a move to another device has made of it before it was cut short.

    Told by bytes and the time of the last change: of two files that are alike in both, one is kept.

    Raises:
        OSError: If one of them cannot be read, or `source` not be removed.
    """
    try:
        ours, other = source.lstat(), copy.lstat()
    except FileNotFoundError:
        return False
    is_like = (
        stat.S_ISREG(ours.st_mode)
        and stat.S_ISREG(other.st_mode)
        and ours.st_dev != other.st_dev
        and ours.st_size == other.st_size
        and other.st_mtime_ns in {ours.st_mtime_ns - ours.st_mtime_ns % step for step in _TIME_STEPS_NS}
    )
    if not is_like or not _are_equal(source, copy):
        return False
    source.unlink()
    return True


def _copy_link(source: Path, folder: Path) -> Path:
    copy = folder / temporary_name()
    in_work.add(copy.name)
    copy.symlink_to(source.readlink())
    return copy


def _copy_file(source: Path, folder: Path) -> Path:
    reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(reader)
        with temporary_file(folder, _name_of_copy(source, before)) as (writer, temporary):
            while data := os.read(reader, _COPY_BYTES):
                write_all(writer, data)
            os.fchmod(writer, stat.S_IMODE(before.st_mode) & 0o777)
            os.utime(writer, ns=(before.st_atime_ns, before.st_mtime_ns))
            os.fsync(writer)
            if _version(source.lstat()) != _version(before):
                raise OSError(errno.EBUSY, "changed while it was copied", str(source))
            return temporary
    finally:
        os.close(reader)


def _name_of_copy(source: Path, facts: os.stat_result) -> str:
    """Return the hidden name of a copy in the making: the same when the move is tried again after a kill."""
    import hashlib

    identity = b"%s/%d/%d" % (os.fsencode(source), facts.st_ino, facts.st_mtime_ns)
    return f"{TEMPORARY_START}{hashlib.sha256(identity).hexdigest()[:16]}{TEMPORARY_END}"


def _are_equal(one: Path, other: Path) -> bool:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with contextlib.ExitStack() as stack:
        readers = [os.open(path, flags) for path in (one, other)]
        for reader in readers:
            stack.callback(os.close, reader)
        while True:
            first, second = (os.read(reader, _COPY_BYTES) for reader in readers)
            if first != second or not first:
                return first == second


def _version(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
