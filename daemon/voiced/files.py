"""Files that change their place or appear whole: renames that never overwrite, free names, atomic writes.

Every name may be any bytes a file system allows: what Python cannot read as UTF-8 travels in surrogates, and only
`printable` makes it fit for messages. Used by the drop folder and by jobs, from any thread; imports nothing heavy.
"""

import contextlib
import errno
import functools
import itertools
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

MAX_NAME_BYTES = 255
"""Longest name of one file: NAME_MAX of Linux's and macOS's file systems."""

_MAX_SUFFIX_BYTES = 20
"""A longer "suffix" is the end of a sentence with a full stop in it."""

_COPY_BYTES = 1 << 20
# How finely file systems tell times: ext4 and APFS, NTFS and SMB, 9p, exFAT, HFS+, FAT.
_TIME_STEPS_NS = (1, 100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, 2_000_000_000)

# (function, what stands before each name, flag): AT_FDCWD of <fcntl.h> and RENAME_NOREPLACE of <linux/fs.h>;
# RENAME_EXCL of macOS's <sys/stdio.h>.
_EXCLUSIVE_RENAMES: dict[str, tuple[str, tuple[int, ...], int]] = {
    "linux": ("renameat2", (-100,), 1),
    "darwin": ("renamex_np", (), 4),
}

_TEMPORARY_START, _TEMPORARY_END = ".voiced-", ".tmp"

# The file system, or this kind of file, knows no such rename or link; another way may still work.
_NOT_THIS_WAY = frozenset(
    {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EPERM, errno.EMLINK}
)


def rename_without_replacing(source: Path, target: Path) -> None:
    """Give `source` the name `target`, never overwriting what is there; works across devices.

    A directory or a special file cannot go to another device; a symbolic link goes as a link.

    Raises:
        FileExistsError: If `target` exists, be it a broken link; `source` is untouched.
        OSError: If it cannot be done; `source` is untouched. EBUSY where a file was changed while it was copied.
    """
    try:
        _rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_across(source, target.parent, lambda copy: _rename_to(copy, target))


def place(source: Path, folder: Path, relative: Path, *, may_copy: bool = True) -> Path:
    """Move `source` below `folder` under the first free name and return where it lies now.

    Parents are made; one that exists as a file gets a number, as the file itself does. Two that place the same
    name at once get two names.

    Args:
        source: The file.
        folder: Where it goes.
        relative: Its wished place below `folder`.
        may_copy: Whether it may be read, where `folder` is on another device.

    Raises:
        ValueError: If `relative` is empty or leads out of `folder`.
        OSError: If it cannot be moved; `source` is untouched. EXDEV where it would have to be copied.
    """
    if relative.is_absolute() or ".." in relative.parts or not relative.name:
        raise ValueError(f"not a place below a folder: {printable(relative)}")
    parent = _make_parents(folder, relative.parent.parts)
    try:
        return _take_first_free(source, parent, relative.name)
    except OSError as error:
        if error.errno != errno.EXDEV or not may_copy:
            raise
        for target in itertools.takewhile(os.path.lexists, _names(parent, relative.name)):
            if end_move(source, target):
                return target
        return _move_across(source, parent, lambda copy: _take_first_free(copy, parent, relative.name))


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


def first_free(folder: Path, relative: Path) -> Path:
    """Return where `place` would put a file now; the parents are made.

    Raises:
        OSError: If they cannot be made.
    """
    parent = _make_parents(folder, relative.parent.parts)
    return next(path for path in _free_names(parent, relative.name) if not os.path.lexists(path))


def free_name(folder: Path, name: str, n: int) -> Path:
    """Return the `n`-th name that a file called `name` may get: "book.wav", "book (2).wav", "book (3).wav" ..."""
    if n == 1 and len(os.fsencode(name)) <= MAX_NAME_BYTES:
        return folder / name
    stem, suffix = split_suffix(name)
    return folder / shorten(stem, suffix if n == 1 else f" ({n}){suffix}")


def shorten(name: str, suffix: str) -> str:
    """Return `name` + `suffix` in at most 255 bytes: what is too long is cut from the end of `name`."""
    room = MAX_NAME_BYTES - len(os.fsencode(suffix))
    data = os.fsencode(name)
    if len(data) > room:
        cut = max(room, 0)
        while cut and 0x80 <= data[cut] < 0xC0:  # inside a character of UTF-8
            cut -= 1
        data = data[:cut]
    return os.fsdecode(data) + suffix


def split_suffix(name: str) -> tuple[str, str]:
    """Return the name without its suffix, and the suffix with its dot; empty where there is none."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
    return (name, "") if len(os.fsencode(suffix)) > _MAX_SUFFIX_BYTES else (stem, suffix)


def printable(path: Path | str) -> str:
    """Return a path fit for messages: valid UTF-8 on one line, other bytes and control characters as escapes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(_shown(character) for character in text)


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems know no fsync of a folder.
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)


def unfinished(path: Path) -> Path:
    """Return where a child writes a file that is to appear whole; left over where it was killed."""
    return path.with_name(f".{path.name}.new")


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file that is seen whole or not at all, on the disk when this returns; replaces an older one.

    Args:
        path: The file; its folder exists.
        data: All of it.
        mode: Its permissions, whatever the umask.

    Raises:
        OSError: If it cannot be written; an older file is as it was.
    """
    with _temporary(path.parent) as (descriptor, temporary):
        _write_all(descriptor, data)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
        temporary.replace(path)
    fsync_folder(path.parent)


def sweep_temporaries(folder: Path, before_s: float | None = None) -> int:
    """Remove what a crash left half copied below `folder`; return how many.

    Args:
        folder: Where to look.
        before_s: Only what was last touched before this time of the clock; None = all, while nobody copies into it.
    """
    count = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.startswith(_TEMPORARY_START) and name.endswith(_TEMPORARY_END):
                path = os.path.join(parent, name)  # noqa: PTH118 - a walk over many names
                with contextlib.suppress(OSError):
                    # Not the time of the content: a copy has that of its source.
                    if before_s is None or os.lstat(path).st_ctime < before_s:
                        os.unlink(path)  # noqa: PTH108
                        count += 1
    return count


# -- names --------------------------------------------------------------------------------------------


def _shown(character: str) -> str:
    # Joiners shape Persian, Indic and emoji, the no-break spaces are ordinary in French and Japanese.
    if character.isprintable() or character in "\u00a0\u200c\u200d\u202f\u3000":
        return character
    return character.encode("unicode_escape").decode("ascii")


def _make_parents(folder: Path, parts: tuple[str, ...]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        folder = next(path for path in _names(folder, part) if _is_made(path))
    return folder


def _is_made(path: Path) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        return path.is_dir()
    return True


def _take_first_free(source: Path, folder: Path, name: str) -> Path:
    for target in _free_names(folder, name):
        with contextlib.suppress(FileExistsError):
            _rename(source, target)
            return target
    raise AssertionError("numbers do not end")


def _names(folder: Path, name: str, start: int = 1) -> Iterator[Path]:
    return (free_name(folder, name, n) for n in itertools.count(start))


def _free_names(folder: Path, name: str) -> Iterator[Path]:
    """The names worth trying: the first few, then from where a doubling search finds one free.

    A folder that has got a `note.txt` every hour for a year would otherwise cost thousands of renames each time.
    """

    def is_free(n: int) -> bool:
        return not os.path.lexists(free_name(folder, name, n))

    few = 8
    yield from itertools.islice(_names(folder, name), few)
    taken, free = few, 2 * few
    while not is_free(free):
        taken, free = free, 2 * free
    while free - taken > 1:
        middle = (taken + free) // 2
        taken, free = (taken, middle) if is_free(middle) else (middle, free)
    yield from _names(folder, name, free)


# -- renames on one device ----------------------------------------------------------------------------


def _rename(source: Path, target: Path) -> None:
    """Rename without replacing on one device, in the best way that the file system knows.

    Raises:
        FileExistsError: If the target exists.
        OSError: With EXDEV if the target is on another device.
    """
    for way in (_rename_exclusively, _link_and_unlink):
        try:
            way(source, target)
        except OSError as error:
            if error.errno not in _NOT_THIS_WAY:
                raise
        else:
            return
    _look_and_rename(source, target)


def _rename_exclusively(source: Path, target: Path) -> None:
    rename = _exclusive_rename()
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    number = rename(os.fsencode(source), os.fsencode(target))
    if number:
        raise OSError(number, os.strerror(number), str(source), None, str(target))


def _link_and_unlink(source: Path, target: Path) -> None:
    if not stat.S_ISREG(source.lstat().st_mode):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(source))
    target.hardlink_to(source)
    try:
        source.unlink()
    except OSError:
        target.unlink()
        raise


def _look_and_rename(source: Path, target: Path) -> None:
    """The last resort: between the look and the rename another program could make the target."""
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


@functools.cache
def _exclusive_rename() -> Callable[[bytes, bytes], int] | None:
    """The C library's rename that refuses an existing target, giving 0 or the errno; None where there is none."""
    import ctypes

    name, before, flags = _EXCLUSIVE_RENAMES.get(sys.platform, ("", (), 0))
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None) if name else None
    if function is None:
        return None

    def rename(source: bytes, target: bytes) -> int:
        if b"\0" in source + target:
            return errno.EINVAL
        return ctypes.get_errno() if function(*before, source, *before, target, flags) else 0

    return rename


# -- across devices -----------------------------------------------------------------------------------


def _move_across(source: Path, folder: Path, rename: Callable[[Path], Path]) -> Path:
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
    try:
        fsync_folder(folder)
        source.unlink()
    except OSError:
        placed.unlink()
        raise
    return placed


def _rename_to(source: Path, target: Path) -> Path:
    _rename(source, target)
    return target


def _copy_link(source: Path, folder: Path) -> Path:
    copy = folder / _temporary_name()
    copy.symlink_to(source.readlink())
    return copy


def _copy_file(source: Path, folder: Path) -> Path:
    reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(reader)
        with _temporary(folder, _name_of_copy(source, before)) as (writer, temporary):
            while data := os.read(reader, _COPY_BYTES):
                _write_all(writer, data)
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
    return f"{_TEMPORARY_START}{hashlib.sha256(identity).hexdigest()[:16]}{_TEMPORARY_END}"


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


def _temporary_name() -> str:
    return f"{_TEMPORARY_START}{os.urandom(8).hex()}{_TEMPORARY_END}"


@contextlib.contextmanager
def _temporary(folder: Path, kept_name: str = "") -> Iterator[tuple[int, Path]]:
    """A new hidden file, open for writing; gone after the block unless renamed.

    Args:
        folder: Where it is made.
        kept_name: Its name, in the place of one that is left from before; it then stays unless the block fails.
    """
    path = folder / (kept_name or _temporary_name())
    if kept_name:
        path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor, path
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    if not kept_name:
        path.unlink(missing_ok=True)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
