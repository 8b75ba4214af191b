"""What reading commands print: JSON documents, and pages that stay up to date."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

_WATCH_S = 1.0


def document(value: msgspec.Struct) -> dict[str, Any]:
    """Return a message as plain values under the schema's names, without its envelope (type and request id)."""
    fields: dict[str, Any] = msgspec.to_builtins(value)
    fields.pop("type", None)
    fields.pop("request_id", None)
    return fields


def print_json(value: dict[str, Any], *, indent: int | None = 2) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=indent, ensure_ascii=False))


def print_lines(lines: list[str]) -> None:
    """Print a page."""
    print("\n".join(lines))


def watch(page: Callable[[], list[str]], *, interval_s: float = _WATCH_S) -> int:
    """Show a page again and again until Ctrl+C: in place on a terminal, one below the other elsewhere."""
    in_place = sys.stdout.isatty()

    def show() -> None:
        lines = page()
        if in_place:  # home; each line cleared to its end; then the rest of the screen
            sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        else:
            sys.stdout.write("\n".join(lines) + "\n\n")

    return _again(show, interval_s)


def watch_json(read: Callable[[], dict[str, Any]], *, interval_s: float = _WATCH_S) -> int:
    """Print a JSON document a line, again and again until Ctrl+C."""
    return _again(lambda: print_json(read(), indent=None), interval_s)


def _again(show: Callable[[], None], interval_s: float) -> int:
    try:
        while True:
            show()
            sys.stdout.flush()
            time.sleep(interval_s)
    except KeyboardInterrupt:
        return 0
