"""Renames on one device that never replace what is there; from any thread."""

import errno
import functools
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

# (function, what stands before each name, flag): AT_FDCWD of <fcntl.h> and RENAME_NOREPLACE of <linux/fs.h>;
# RENAME_EXCL of macOS's <sys/stdio.h>.
_EXCLUSIVE_RENAMES: dict[str, tuple[str, tuple[int, ...], int]] = {
    "linux": ("renameat2", (-100,), 1),
    "darwin": ("renamex_np", (), 4),
}

# The file system, or this kind of file, knows no such rename or link; another way may still work.
_NOT_THIS_WAY = frozenset(
    {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EPERM, errno.EMLINK}
)


def rename(source: Path, target: Path) -> None:
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
    exclusively = _exclusive_rename()
    if exclusively is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    number = exclusively(os.fsencode(source), os.fsencode(target))
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

    def exclusively(source: bytes, target: bytes) -> int:
        if b"\0" in source + target:
            return errno.EINVAL
        return ctypes.get_errno() if function(*before, source, *before, target, flags) else 0

    return exclusively
