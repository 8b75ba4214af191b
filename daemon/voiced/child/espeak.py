"""The program of the espeak worker: `python -S -E -I espeak.py --link-fd N --parent PID --library L --data D --path P`.

Started by its path and without site, so it says itself where packages lie; what it does is `voiced.child.speaker`.
This file is compiled at every start, because a program's own file is not cached: keep it short.
"""

# ruff: noqa: PTH100, PTH120 - every fork would pay for pathlib

import os
import sys

if __name__ == "__main__":
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    sys.path += [
        os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
        options["--path"],
    ]

    from voiced.child.speaker import main

    sys.exit(main(options))
