"""A Piper voice of a few kilobytes: a real ONNX graph with a voice's inputs and output, written without onnx.

Each phoneme becomes 1024 samples of a tone whose pitch is the phoneme's number and speaker's; `has_noise` adds what the
published voices draw inside their graph, and `work` makes each sentence take its time.
"""

# ruff: noqa: RUF001 - phonetic signs

import argparse
import json
import struct
from collections.abc import Sequence
from pathlib import Path

from voiced.engines.piper_onnx import FLOAT, INT64, field, integers, node, value_info

SAMPLE_RATE_HZ = 22050
SAMPLES_PER_ID = 1024
VOICE = "en_US-toy-medium"
_SYMBOLS = (
    "_^$ !',-.:;?abcdefhijklmnopqrstuvwxyzæçðøħŋœɐɑɒɔɕɖɘəɚɛɜɟɡɣɤɥɦɨɪɫɬɭɯɰɱɲɳɴɵɸɹɺɻɽɾʀʁʂʃʄʈʉʊʋʌʍʎʏʐʑʒʔʕʘʙʛʜʝʟ"
    "ʡʢˈˌːˑ˞βθχᵻ"
)
"""Piper's own symbols, without those that only some languages use."""
_HZ_PER_ID = 40.0
_AMPLITUDE = 0.3


def build(
    folder: Path,
    *,
    voice: str = VOICE,
    speakers: Sequence[str] = (),
    has_noise: bool = False,
    work: int = 0,
) -> Path:
    """Write a voice into `folder` and return its graph.

    Args:
        folder: Made where it is not there.
        voice: The files' name.
        speakers: Their names; none = a voice of one speaker.
        has_noise: Whether the graph draws noise, as the published ones do.
        work: How many products of matrices each sentence costs: 60 take about 15 ms for a phoneme.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{voice}.onnx"
    file.write_bytes(graph(bool(speakers), has_noise=has_noise, work=work))
    ids = {symbol: [number] for number, symbol in enumerate(_SYMBOLS)}
    told = {
        "audio": {"sample_rate": SAMPLE_RATE_HZ, "quality": "medium"},
        "dataset": "toy",
        "espeak": {"voice": "en-us"},
        "language": {"code": "en_US", "family": "en", "region": "US"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": ids,
        "num_symbols": len(ids),
        "num_speakers": max(1, len(speakers)),
        "speaker_id_map": {name: number for number, name in enumerate(speakers)},
    }
    file.with_name(file.name + ".json").write_text(json.dumps(told))
    return file


def graph(has_speakers: bool, *, has_noise: bool = False, work: int = 0) -> bytes:
    """Return the graph as a file's content."""
    ids = "input"
    parts = [
        integers("zero", [0], is_scalar=True),
        integers("one", [1], is_scalar=True),
        integers("last", [2]),
        _floats("hz_per_id", _HZ_PER_ID),
        _floats("samples_per_id", SAMPLES_PER_ID),
        _floats("step", 2 * 3.141592653589793 / SAMPLE_RATE_HZ),
        _floats("amplitude", _AMPLITUDE),
        node("Gather", ["scales", "zero"], "noise_scale"),
        node("Gather", ["scales", "one"], "length_scale"),
        node("Mul", ["length_scale", "samples_per_id"], "count"),
        _cast("count", "samples", INT64),
        node("Range", ["zero", "samples", "one"], "places"),
        _cast("places", "ramp", FLOAT),
        node("Mul", ["ramp", "step"], "turn"),
    ]
    if has_speakers:
        parts.append(node("Add", ["input", "sid"], "spoken"))
        ids = "spoken"
    parts += [
        _cast(ids, "numbers", FLOAT),
        node("Mul", ["numbers", "hz_per_id"], "hz"),
        node("Unsqueeze", ["hz", "last"], "tones"),
        node("Mul", ["tones", "turn"], "phase"),
        node("Sin", ["phase"], "sine"),
        node("Mul", ["sine", "amplitude"], "spoken_0"),
        *(_noise("spoken_0", "spoken_1") if has_noise else [node("Identity", ["spoken_0"], "spoken_1")]),
        *(_work("spoken_1", "spoken_2", work) if work else [node("Identity", ["spoken_1"], "spoken_2")]),
        # [1, 1, 1, samples], as the published graphs give it.
        field(
            5, field(1, 4) + field(2, INT64) + field(8, "shape") + field(9, struct.pack("<4q", 1, 1, 1, -1))
        ),
        node("Reshape", ["spoken_2", "shape"], "output"),
        _input("input", INT64, ["batch", "phonemes"]),
        _input("input_lengths", INT64, ["batch"]),
        _input("scales", FLOAT, [3]),
        *([_input("sid", INT64, ["batch"])] if has_speakers else []),
        field(12, value_info("output", FLOAT, ["batch", "one", "one_too", "time"])),
    ]
    opset = field(1, "") + field(2, 15)
    return field(1, 8) + field(7, field(2, "toy") + b"".join(parts)) + field(8, opset)


def _noise(given: str, made: str) -> list[bytes]:
    """A draw as exporters write it, with its usual attributes."""
    attributes = b"".join(
        (
            field(5, field(1, "dtype") + field(3, FLOAT) + field(20, 2)),
            field(5, field(1, "mean") + _float32(2, 0.0) + field(20, 1)),
            field(5, field(1, "scale") + _float32(2, 1.0) + field(20, 1)),
        )
    )
    draw = field(1, given) + field(2, "drawn") + field(4, "RandomNormalLike") + attributes
    return [
        _floats("quiet", 0.01),
        field(1, draw),
        node("Mul", ["drawn", "noise_scale"], "scaled"),
        node("Mul", ["scaled", "quiet"], "heard"),
        node("Add", [given, "heard"], made),
    ]


def _work(given: str, made: str, times: int) -> list[bytes]:
    """Products of matrices with a row of work for each phoneme, which change nothing in the end."""
    side = field(1, 2) + field(2, INT64) + field(8, "square") + field(9, struct.pack("<2q", 512, 512))
    parts = [
        integers("rows_per_id", [32], is_scalar=True),
        integers("columns", [512]),
        integers("axis", [0]),
        _floats("nothing", 0.0),
        field(5, side),
        node("Size", ["input"], "ids"),
        node("Mul", ["ids", "rows_per_id"], "rows"),
        node("Unsqueeze", ["rows", "axis"], "rows_1"),
        field(
            1,
            field(1, "rows_1")
            + field(1, "columns")
            + field(2, "sides")
            + field(4, "Concat")
            + _int("axis", 0),
        ),
        node("ConstantOfShape", ["sides"], "product_0"),
        node("ConstantOfShape", ["square"], "factor"),
    ]
    parts += [
        node("MatMul", [f"product_{place}", "factor"], f"product_{place + 1}") for place in range(times)
    ]
    return [
        *parts,
        node("ReduceMax", [f"product_{times}"], "greatest"),
        node("Mul", ["greatest", "nothing"], "nothings"),
        node("Squeeze", ["nothings"], "nothing_1"),
        node("Add", [given, "nothing_1"], made),
    ]


def _input(name: str, kind: int, shape: Sequence[str | int]) -> bytes:
    return field(11, value_info(name, kind, shape))


def _int(name: str, value: int) -> bytes:
    return field(5, field(1, name) + field(3, value) + field(20, 2))


def _cast(given: str, made: str, kind: int) -> bytes:
    return field(1, field(1, given) + field(2, made) + field(4, "Cast") + _int("to", kind))


def _float32(number: int, value: float) -> bytes:
    return bytes([number << 3 | 5]) + struct.pack("<f", value)


def _floats(name: str, value: float) -> bytes:
    """A scalar."""
    return field(5, field(2, FLOAT) + field(8, name) + field(9, struct.pack("<f", value)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--voice", default=VOICE)
    parser.add_argument("--speakers", nargs="*", default=())
    parser.add_argument("--noise", action="store_true")
    options = parser.parse_args()
    build(options.folder, voice=options.voice, speakers=options.speakers, has_noise=options.noise)
