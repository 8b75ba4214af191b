"""What is to become of an entry of the drop folder: a pure rule over what `lstat` tells.

Passed over in silence is what other programs leave while they work; refused, with a reason, is what somebody put
there and cannot be spoken; everything else is taken as soon as nobody writes it any more.
"""

import os
import stat
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from voiced.drop.sidecar import is_sidecar

CLAIMS_FOLDER = ".voiced"
"""Our own folder inside the drop folder."""

_PASSED_OVER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx"})
_PASSED_OVER_STARTS = (".", "~$", "~syncthing~")
_PASSED_OVER_ENDS = (
    "~",
    ".tmp",
    # half-made downloads: Firefox, Chromium, Safari, Opera, Edge, WinSCP, curl wrappers
    ".part",
    ".crdownload",
    ".download",
    ".opdownload",
    ".partial",
    ".filepart",
    # virtual files of Nextcloud and ownCloud
    ".nextcloud",
    ".owncloud",
)
_DOWNLOAD_ENDS = (".part", ".crdownload", ".download", ".opdownload", ".partial", ".filepart")

# Nextcloud's and OpenVFS's mark of a file whose content is still in the cloud.
_PLACEHOLDER_ATTRIBUTES = ("user.nextcloud.hydrate_exec", "user.owncloud.hydrate_exec", "user.openvfs.")
_DATALESS = 0x40000000  # SF_DATALESS, macOS's <sys/stat.h>


class Action(Enum):
    """What is to be done."""

    TAKE = "take"
    WAIT = "wait"
    SKIP = "skip"
    REFUSE = "refuse"


class Verdict(NamedTuple):
    """What is to be done with an entry, and why."""

    action: Action
    reason: str = ""
    """Of REFUSE: what it is, why that is refused, what to do. Of WAIT: for what."""
    wait_s: float | None = None
    """Of WAIT: when another look can bring something; None = when the writer goes, which nobody foretells."""


class Rules(NamedTuple):
    """What is allowed in a drop folder."""

    uid: int
    """Files must be this user's."""
    max_bytes: int
    settle_s: float


class Facts(NamedTuple):
    """What one look at an entry told."""

    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    uid: int
    links: int
    inode: int
    device: int
    is_placeholder: bool = False
    """Its content is still in a cloud; reading would fetch it."""
    has_download: bool = False
    """Beside it lies a half-made download: an empty file may be a browser's reserved name. `look` does not tell."""

    @property
    def version(self) -> tuple[int, ...]:
        """Changes when a writer does something."""
        return (self.inode, self.size, self.mtime_ns, self.links, self.uid, stat.S_IFMT(self.mode))


def is_passed_over(name: str) -> bool:
    """Return whether a file or folder of this name is not for us."""
    folded = name.casefold()
    return (
        folded in _PASSED_OVER
        or folded.startswith(_PASSED_OVER_STARTS)
        or folded.endswith(_PASSED_OVER_ENDS)
        or is_sidecar(name)
        or (len(name) > 1 and name[0] == name[-1] == "#")  # what Emacs saves by itself
    )


def is_download(name: str) -> bool:
    """Return whether a file of this name is half of a download."""
    return name.casefold().endswith(_DOWNLOAD_ENDS)


def examine(facts: Facts, rules: Rules, quiet_s: float, being_written: Callable[[], bool | None]) -> Verdict:
    """Return what is to become of an entry that is no folder and not passed over by its name.

    Args:
        facts: What the last look told.
        rules: What is allowed.
        quiet_s: For how long it has been seen unchanged, in seconds.
        being_written: Asks whether somebody writes it; None = that cannot be told. Asked about plain files only.
    """
    if not stat.S_ISREG(facts.mode):
        return Verdict(Action.REFUSE, _KINDS.get(stat.S_IFMT(facts.mode), _UNKNOWN_KIND))
    if facts.is_placeholder:
        return Verdict(Action.SKIP)
    writer = being_written()
    if writer:
        return Verdict(Action.WAIT, "somebody still writes it")
    fault = find_fault(facts, rules)
    if fault is None and writer is False:
        return Verdict(Action.TAKE)
    if quiet_s < rules.settle_s:
        # A fault may be a moment's: a file made and then filled, or linked to its new name and unlinked.
        return Verdict(Action.WAIT, "it may still change", rules.settle_s - quiet_s)
    if facts.size == 0 and facts.has_download:
        return Verdict(Action.WAIT, "a browser still downloads it")
    return Verdict(Action.REFUSE, fault) if fault else Verdict(Action.TAKE)


def find_fault(facts: Facts, rules: Rules) -> str | None:
    """Return why a regular file is refused: what it is, why that matters, what to do; None if it is not."""
    if facts.uid != rules.uid:
        return (
            f"it belongs to another user (number {facts.uid}), and only your own files are spoken. "
            "Copy it yourself: the copy is yours."
        )
    if facts.links > 1:
        return (
            f"it is a hard link: the same file has {facts.links} names, and moving this one would leave the text "
            "open to change from the others. Put in a copy instead of a link."
        )
    if not facts.mode & stat.S_IRUSR:
        return "its permissions do not let you read it. Run `chmod u+r` on it and drop it again."
    if facts.size > rules.max_bytes:
        return (
            f"it is too large: {_megabytes(facts.size)} MB, and {_megabytes(rules.max_bytes)} MB are allowed. "
            "Split it, or raise max_document_mb under [folders] in voiced.toml."
        )
    if facts.size == 0:
        return "it is empty, so there is nothing to speak. Save the text into it and drop it again."
    return None


def look(path: Path) -> Facts:
    """Return the facts about an entry, following no link and opening nothing.

    Raises:
        OSError: If it is not there, or a folder on the way cannot be searched.
    """
    found = os.lstat(path)
    return Facts(
        found.st_mode,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_uid,
        found.st_nlink,
        found.st_ino,
        found.st_dev,
        _is_placeholder(path, found),
    )


def _is_placeholder(path: Path, found: os.stat_result) -> bool:
    if getattr(found, "st_flags", 0) & _DATALESS:
        return True
    if (
        found.st_blocks
        or not found.st_size
        or not stat.S_ISREG(found.st_mode)
        or not hasattr(os, "listxattr")
    ):
        return False
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return False
    return any(name.startswith(_PLACEHOLDER_ATTRIBUTES) for name in names)


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.1f}".removesuffix(".0")


_NO_TEXT = "Put a file with the text there instead."
_UNKNOWN_KIND = f"it is not a file. {_NO_TEXT}"
_KINDS = {
    stat.S_IFLNK: "it is a symbolic link, and links are not followed out of the drop folder. "
    "Put in a copy of the file that it points to.",
    stat.S_IFIFO: f"it is a named pipe, not a file; reading it could wait for ever. {_NO_TEXT}",
    stat.S_IFSOCK: f"it is a socket, not a file. {_NO_TEXT}",
    stat.S_IFCHR: f"it is a device, not a file; reading it could never end. {_NO_TEXT}",
    stat.S_IFBLK: f"it is a device, not a file; reading it could never end. {_NO_TEXT}",
}
