"""Logging: a rotating file in the state folder, and standard error for a terminal or the journal.

Ids and counts, never the text to be spoken above DEBUG.
"""

import logging
import logging.handlers
import os
import sys
from pathlib import Path

_FILE_BYTES = 2 << 20
_FILES = 3
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_JOURNAL_FORMAT = "%(levelname)s %(name)s: %(message)s"


def start_logging(file: Path, level: str) -> None:
    """Send the log to `file`, and to standard error where somebody reads it."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    handler = logging.handlers.RotatingFileHandler(
        file,
        maxBytes=_FILE_BYTES,
        backupCount=_FILES - 1,
        encoding="utf-8",
        errors="backslashreplace",
        delay=True,
    )
    handler.setFormatter(logging.Formatter(_FORMAT))
    root.addHandler(handler)
    # Anything else that standard error may be (a file, a dead pipe) would grow beside the log.
    if "JOURNAL_STREAM" in os.environ or (sys.stderr is not None and sys.stderr.isatty()):
        echo = logging.StreamHandler()
        echo.setFormatter(logging.Formatter(_JOURNAL_FORMAT if "JOURNAL_STREAM" in os.environ else _FORMAT))
        root.addHandler(echo)


def set_level(level: str) -> None:
    """Change how much is logged."""
    logging.getLogger().setLevel(level.upper())
