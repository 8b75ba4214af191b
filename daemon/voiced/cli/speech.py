"""The options of `say` and `drop` that become fields of `Synthesize`."""

import argparse
from typing import Any

from voiced.cli.parser import between

_FIELDS = {
    "voice": "voice",
    "describe": "description",
    "language": "language",
    "model": "model",
    "device": "device",
    "speed": "speed",
    "pitch": "pitch",
    "volume": "volume",
    "seed": "seed",
    "rate": "sample_rate_hz",
    "keep_alive": "keep_alive_s",
}
"""From option to field."""


def add_speech(parser: argparse.ArgumentParser, *, is_file: bool) -> None:
    """Declare how it is to sound. Ranges are those of `Synthesize`; a test compares them.

    Args:
        parser: Of the command.
        is_file: The daemon makes a file, and so can change the sample rate; a stream has the engine's own.
    """
    group = parser.add_argument_group("how it sounds")
    group.add_argument(
        "--voice", metavar="ID", help="a voice that `voiced voices` or `voiced voice list` shows"
    )
    group.add_argument(
        "--describe", metavar="WORDS", help="the voice, or how it speaks, for models that heed words"
    )
    group.add_argument(
        "--language", metavar="TAG", help="en, de, fr-CA ...; otherwise the voice's, or the text's"
    )
    group.add_argument("--model", metavar="ID", help="a model that `voiced models` lists")
    group.add_argument(
        "--device", metavar="DEVICE", type=device, help="for this request only: cpu, cuda:0, mps ..."
    )
    group.add_argument("--speed", metavar="N", type=between(0.25, 4), help="0.25 to 4; 2 = twice as fast")
    group.add_argument("--pitch", metavar="N", type=between(0, 2), help="0 to 2; 1 = the voice's own")
    group.add_argument("--volume", metavar="N", type=between(0, 2), help="0 to 2; 1 = the voice's own")
    group.add_argument(
        "--seed", metavar="N", type=between(0, 2**32 - 1, int), help="the same number gives the same audio"
    )
    if is_file:
        group.add_argument(
            "--rate",
            metavar="HZ",
            type=between(0, 192_000, int),
            help="sample rate; otherwise the engine's own",
        )
    group.add_argument(
        "--keep-alive",
        metavar="S",
        type=between(-1, 1e9),
        help="seconds that the model stays loaded afterwards; -1 = for ever",
    )
    group.add_argument(
        "--truncate", action="store_true", help="cut a text over the hardware's limit instead of splitting it"
    )


def speech_fields(options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of `Synthesize` that the options set."""
    from voiced_ipc.messages import OnLongText

    given = {field: getattr(options, name, None) for name, field in _FIELDS.items()}
    fields: dict[str, Any] = {field: value for field, value in given.items() if value is not None}
    if options.truncate:
        fields["on_long_text"] = OnLongText.TRUNCATE
    return fields


def device(text: str) -> str:
    """Return a device's name in lower case, as an argparse type."""
    name = text.lower()
    base, colon, index = name.partition(":")
    is_card = base == "cuda" and index.isascii() and index.isdigit() and len(index) <= 2
    if name in ("auto", "cpu", "cuda", "mps") or (colon and is_card):
        return name
    raise argparse.ArgumentTypeError(f"{text!r} is no device; allowed: auto, cpu, cuda, cuda:N or mps")
