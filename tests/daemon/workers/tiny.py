"""Tiny child programs that speak the link, and how they are started."""

import os
import sys
import sysconfig
import textwrap
from pathlib import Path

import voiced
from voiced.workers.shelf import Shelf
from voiced.workers.spawn import Spawn

_START = """
import sys, os, time
sys.path += [{packages!r}, {ours!r}]
from voiced.workers.link import ChildLink
link = ChildLink(int(sys.argv[sys.argv.index("--link-fd") + 1]))
load = link.receive()[0]
def ready(**more):
    link.send({{"type": "ready", "sample_rate_hz": 1000, "slots": 2,
               "voices": [{{"voice": "v", "name": "V", "languages": ["en"]}}], **more}})
def serve():
    # Pings are answered, everything else is the program's.
    while (frame := link.receive()) is not None:
        if frame[0]["type"] == "ping":
            link.send({{"type": "pong", "n": 0, "rss_bytes": 12345}})
        elif frame[0]["type"] == "end":
            os._exit(0)
        else:
            yield frame[0]
    os._exit(0)
"""


def tiny_child(body: str) -> Spawn:
    """A child that runs `body` after it got its `load` frame."""
    start = _START.format(
        packages=sysconfig.get_path("platlib"), ours=str(Path(voiced.__file__).parent.parent)
    )
    program = start + textwrap.dedent(body)
    environment = {"PATH": os.environ["PATH"]}
    return Spawn([sys.executable, "-S", "-c", program], environment, {"type": "load", "engine": "tiny"})


ECHO = """
ready()
for fields in serve():
    if fields["type"] == "speak":
        link.send({"type": "audio", "task": fields["task"], "index": 0}, b"abcd")
        link.send({"type": "done", "task": fields["task"]})
"""
"""Speaks four bytes."""

DEAF = """
ready()
for fields in serve():
    if fields["type"] == "cancel":
        link.send({"type": "cancelled", "task": fields["task"]})
"""
"""Begins and never ends, but for a cancel."""


def shelf_in(folder: Path) -> Shelf:
    """A shelf without models and engine families."""
    return Shelf(folder / "models", folder / "engines", folder / "weights")
