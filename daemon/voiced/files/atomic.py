"""Files that appear whole or not at all, and outlast a power cut; from any thread."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

TEMPORARY_START, TEMPORARY_END = ".voiced-", ".tmp"
"""How the hidden names of files in the making begin and end."""
in_work: set[str] = set()
"""Names of the temporaries that this process works on: no time of the clock tells them from those of a crash."""


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file that is seen whole or not at all, on the disk when this returns; replaces an older one.

    Args:
        path: The file; its folder exists.
        data: All of it.
        mode: Its permissions, whatever the umask.

    Raises:
        OSError: If it cannot be written; an older file is as it was.
    """
    with temporary_file(path.parent) as (descriptor, temporary):
        write_all(descriptor, data)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
        temporary.replace(path)
    fsync_folder(path.parent)


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


def sweep_temporaries(folder: Path) -> int:
    """Remove what a crash left half copied below `folder`; return how many. What is being copied by us stays."""
    count = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            is_ours = name.startswith(TEMPORARY_START) and name.endswith(TEMPORARY_END)
            if is_ours and name not in in_work:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(parent, name))  # noqa: PTH108, PTH118 - a walk over many names
                    count += 1
    return count


@contextlib.contextmanager
def temporary_file(folder: Path, kept_name: str = "") -> Iterator[tuple[int, Path]]:
    """A new hidden file, open for writing; gone after the block unless renamed.

    Args:
        folder: Where it is made.
        kept_name: Its name, in the place of one that is left from before; it then stays unless the block fails, and
            stays in work.
    """
    path = folder / (kept_name or temporary_name())
    in_work.add(path.name)
    try:
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
    except BaseException:
        in_work.discard(path.name)
        raise
    if not kept_name:
        path.unlink(missing_ok=True)
        in_work.discard(path.name)


def temporary_name() -> str:
    """Return a hidden name that nobody else has."""
    return f"{TEMPORARY_START}{os.urandom(8).hex()}{TEMPORARY_END}"


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, in as many calls as it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
