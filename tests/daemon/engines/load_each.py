"""Loads a model from folder after folder in one process; prints the code and message of each refusal, as JSON.

`python -m tests.daemon.engines.load_each MODULE CLASS FOLDER ...`, with the overlay on PYTHONPATH.
"""

import importlib
import json
import sys
from pathlib import Path

from voiced.engines.base import Engine, LoadSettings
from voiced_ipc.errors import VoicedError


def main() -> None:
    """Print a list of [code, message], empty strings for a folder that loads."""
    module, cls, *folders = sys.argv[1:]
    refusals = []
    for folder in folders:
        engine: Engine = getattr(importlib.import_module(module), cls)()
        try:
            for _ in engine.load(Path(folder), LoadSettings(threads=1)):
                pass
        except VoicedError as error:
            refusals.append((error.code.value, error.message))
        else:
            refusals.append(("", ""))
    print(json.dumps(refusals))


if __name__ == "__main__":
    main()
