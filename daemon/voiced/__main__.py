"""The process `voiced`: `python -m voiced` and the installed command.

Starts in a blink: the collector rests while modules are imported, and a finished command leaves without taking the
interpreter apart (together a fifth of a short command's time). Only `run` ends the ordinary way.
"""

import gc
import os
import sys

_COMMAND_THRESHOLD = 20_000
"""Objects between two collections: imports make that many and free hardly one of them."""


def main() -> int:
    """Run the command line of this process and return its exit code; short commands never return."""
    gc.set_threshold(_COMMAND_THRESHOLD, 10, 10)
    from voiced.cli.dispatch import dispatch

    arguments = sys.argv[1:]
    code = _flushed(dispatch(arguments))
    if arguments[:1] == ["run"]:
        return code
    os._exit(code)


def _flushed(code: int) -> int:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:  # whoever read us has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except OSError as error:  # a full disk behind a redirection
            code = code or 74
            if stream is sys.stdout:
                print(f"voiced: the output could not be written: {error.strerror}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
