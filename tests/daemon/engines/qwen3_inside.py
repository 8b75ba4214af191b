"""A program of its own, run with Qwen3-TTS' packages on the path and the network denied: what only the engine tells.

Prints the findings of one chapter as JSON: ours against upstream's own loader, what is refused, what one changed
weight changes, what is left behind after a segment, how voices are made, and the weights in 8 bits.
"""

import contextlib
import json
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from voiced.engines import qwen3_load
from voiced.engines.base import LoadSettings, Prompt, Reference, SegmentRequest
from voiced.engines.ending import ENDLESS
from voiced.engines.qwen3_tts import Qwen3TtsEngine
from voiced_ipc.errors import VoicedError

TEXT = "Hello world."
RATE_HZ = 16000
SEED = 3
Samples = Any


def recording(hz: float = 180.0, seconds: float = 4.0) -> Samples:
    """A hum with a little noise, at 16 kHz."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(0).standard_normal(len(time_s))
    return (0.1 * np.sin(2 * np.pi * hz * time_s) + 0.01 * noise).astype(np.float32)


def loaded(folder: Path, **settings: Any) -> tuple[Qwen3TtsEngine, list[str]]:
    """An engine, and what it said while it was loaded."""
    engine = Qwen3TtsEngine()
    steps = engine.load(folder, LoadSettings(threads=1, **settings))
    return engine, [step.what for step in steps]


def request(text: str = TEXT, **fields: Any) -> SegmentRequest:
    """A segment in English."""
    usual: dict[str, Any] = {"place": 0, "text": text, "language": "en-GB", "voice": "", "seed": SEED}
    return SegmentRequest(**usual | fields)


def chunks(engine: Qwen3TtsEngine, asked: SegmentRequest) -> list[Samples]:
    """The audio of a segment as it comes."""
    return [chunk for _, chunk in engine.speak([asked], threading.Event())]


def spoken(engine: Qwen3TtsEngine, asked: SegmentRequest) -> Samples:
    """The audio of a segment."""
    return np.concatenate(chunks(engine, asked))


def refusal(call: Callable[[], object]) -> list[str]:
    """The name and the words of the error that a call raises."""
    try:
        call()
    except VoicedError as error:
        return [type(error).__name__, error.message]
    return ["nothing", ""]


def against_upstream(root: Path, work: Path) -> dict[str, Any]:
    """The greatest difference to the package's own loading, call and whole decoding."""
    import torch

    qwen3_load.import_upstream()
    from qwen_tts import Qwen3TTSModel

    made: dict[str, Any] = {}
    for name in ("base-06", "base-17", "speakers-17", "design-17"):
        engine, _ = loaded(root / name)
        theirs = Qwen3TTSModel.from_pretrained(str(root / name), dtype=torch.float32)
        usual = {"text": TEXT, "language": "english", "max_new_tokens": 80}
        if name.startswith("base"):
            prompt = engine.make_voice([Reference(recording(), RATE_HZ, "This is it.")])
            import soxr

            sound = soxr.resample(recording(), RATE_HZ, 24000)
            item = theirs.create_voice_clone_prompt(ref_audio=(sound, 24000), ref_text="This is it.")[0]
            made[f"{name} codes"] = bool(np.array_equal(prompt.tensors["ref_code"], item.ref_code.numpy()))
            made[f"{name} vector"] = _difference(
                prompt.tensors["ref_spk_embedding"], item.ref_spk_embedding.numpy()
            )
            asked = request(prompt=prompt)
            torch.manual_seed(SEED)
            whole = theirs.generate_voice_clone(**usual, voice_clone_prompt=[item])
        elif name.startswith("speakers"):
            asked = request(voice="ryan", description="Softly.")
            torch.manual_seed(SEED)
            whole = theirs.generate_custom_voice(**usual, speaker="ryan", instruct="Softly.")
        else:
            asked = request(description="Calm.")
            torch.manual_seed(SEED)
            whole = theirs.generate_voice_design(**usual, instruct="Calm.")
        made[f"{name} audio"] = _difference(spoken(engine, asked), whole[0][0])
        made[f"{name} peak"] = float(np.abs(whole[0][0]).max())
    return made


def pieces(root: Path, work: Path) -> float:
    """The greatest difference between a decoding in pieces, after a recording, and at once; in fp64."""
    import torch

    from voiced.engines.qwen3_frames import Decoder

    class Codec:
        """What a decoder needs of upstream's."""

        def __init__(self, codec: Any) -> None:
            self.model, self.config = codec.model, codec.config
            self.get_decode_upsample_rate = codec.get_decode_upsample_rate

    engine, _ = loaded(root / "base-06")
    wrapper: Any = engine._wrapper
    codec = Codec(wrapper.model.speech_tokenizer._codec)
    codec.model.decoder.double()
    torch.manual_seed(0)
    codes = torch.randint(0, 2048, (150, 16))
    with torch.inference_mode():
        whole = codec.model.decoder(codes.T[None])[0, 0, 60 * 1920 :].float().numpy()
    made = list(Decoder(codec).chunks(iter(codes[60:]), codes[:60], -1))
    assert len(made) > 5
    return _difference(np.concatenate(made), whole)


def _difference(ours: Samples, theirs: Samples) -> float:
    return float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("inf")


def refusals(root: Path, work: Path) -> dict[str, list[str]]:
    """What is refused, and how."""
    base, _ = loaded(root / "base-06")
    big, _ = loaded(root / "base-17")
    speakers, _ = loaded(root / "speakers-06")
    design, _ = loaded(root / "design-17")
    prompt = base.make_voice([Reference(recording(), RATE_HZ, "This is it.")])
    codes = prompt.tensors["ref_code"]
    wild = Prompt({**prompt.tensors, "ref_code": codes + 5000}, prompt.values)
    narrow = Prompt({**prompt.tensors, "ref_code": codes[:, :3]}, prompt.values)
    voices: dict[str, Callable[[], object]] = {
        "no recording": lambda: base.make_voice([]),
        "short": lambda: base.make_voice([Reference(recording(seconds=1), RATE_HZ)]),
        "long": lambda: base.make_voice([Reference(recording(seconds=61), RATE_HZ)]),
        "silent": lambda: base.make_voice([Reference(recording() * np.float32(0), RATE_HZ)]),
        "no numbers": lambda: base.make_voice([Reference(recording() * np.float32(np.nan), RATE_HZ)]),
        "clone by speakers": lambda: speakers.make_voice([Reference(recording(), RATE_HZ)]),
    }
    asked: dict[str, Callable[[], object]] = {
        "small voice on big": lambda: chunks(big, request(prompt=prompt)),
        "wild codes": lambda: chunks(base, request(prompt=wild)),
        "narrow codes": lambda: chunks(base, request(prompt=narrow)),
        "no voice": lambda: chunks(base, request()),
        "speaker of base": lambda: chunks(base, request(voice="ryan")),
        "description of base": lambda: chunks(base, request(prompt=prompt, description="Calm.")),
        "unknown speaker": lambda: chunks(speakers, request(voice="nobody")),
        "voice by speakers": lambda: chunks(speakers, request(prompt=prompt)),
        "manner of small": lambda: chunks(speakers, request(description="Softly.")),
        "speaker of design": lambda: chunks(design, request(voice="ryan")),
        "language": lambda: chunks(speakers, request(language="nb")),
        "numbers": lambda: chunks(speakers, request("A ~ here.")),
    }
    found = {name: refusal(call) for name, call in (voices | asked).items()}
    found["after them"] = [str(np.array_equal(*(spoken(speakers, request()) for _ in range(2)))), ""]
    return found


def damage(root: Path, work: Path) -> dict[str, list[str]]:
    """What is refused when it is loaded, and how."""
    from safetensors.torch import load_file, save_file

    def spoilt(spoil: Callable[[Path], object]) -> list[str]:
        shutil.rmtree(work / "spoilt", ignore_errors=True)
        folder = shutil.copytree(root / "base-06", work / "spoilt")
        spoil(folder)
        return refusal(lambda: loaded(folder))

    def without(name: str, file: str) -> Callable[[Path], object]:
        def spoil(folder: Path) -> None:
            tensors = load_file(folder / file)
            kept = {key: tensor.clone() for key, tensor in tensors.items() if not key.startswith(name)}
            assert len(kept) < len(tensors)
            (folder / file).unlink()
            save_file(kept, folder / file)

        return spoil

    def config(
        change: Callable[[dict[str, Any]], object], file: str = "config.json"
    ) -> Callable[[Path], object]:
        def spoil(folder: Path) -> None:
            settings = json.loads((folder / file).read_text())
            change(settings)
            (folder / file).write_text(json.dumps(settings))

        return spoil

    model, codec = "model.safetensors", "speech_tokenizer/model.safetensors"
    return {
        "no codec encoder": spoilt(without("encoder.encoder.layers.0.", codec)),
        "no codebook": spoilt(without("encoder.quantizer.acoustic", codec)),
        "no speaker encoder": spoilt(without("speaker_encoder.fc", model)),
        "no layer": spoilt(without("talker.model.layers.1.", model)),
        "cut off": spoilt(lambda folder: (folder / model).write_bytes((folder / model).read_bytes()[:9999])),
        "no weights": spoilt(lambda folder: (folder / codec).unlink()),
        "no configuration": spoilt(lambda folder: (folder / "config.json").write_text("{")),
        "other model": spoilt(config(lambda settings: settings.update(model_type="llama"))),
        "other kind": spoilt(config(lambda settings: settings.update(tts_model_type="singing"))),
        "a million layers": spoilt(
            config(lambda settings: settings["talker_config"].update(num_hidden_layers=10**6))
        ),
        "wider": spoilt(config(lambda settings: settings["talker_config"].update(hidden_size=64))),
        "words as numbers": spoilt(
            config(lambda settings: settings["talker_config"].update(hidden_size="x"))
        ),
        "no tokenizer": spoilt(lambda folder: (folder / "vocab.json").unlink()),
        "no extractor": spoilt(
            lambda folder: (folder / "speech_tokenizer" / "preprocessor_config.json").unlink()
        ),
        "no folder": refusal(lambda: list(Qwen3TtsEngine().load(None, LoadSettings()))),
        "int8 on a GPU": refusal(lambda: loaded(root / "base-06", quantization="int8", device="cuda:0")),
    }


def one_weight(root: Path, work: Path) -> dict[str, list[bool]]:
    """Whether one changed weight changes the prepared voice, and the audio of one prepared before."""
    from safetensors.torch import load_file, save_file

    reference = [Reference(recording(), RATE_HZ, "This is it.")]
    usual, _ = loaded(root / "base-06")
    prompt = usual.make_voice(reference)
    audio = spoken(usual, request(prompt=prompt))
    found = {}
    for file, name in (
        ("model.safetensors", "talker.model.layers.0.mlp.down_proj.weight"),
        ("model.safetensors", "talker.code_predictor.model.layers.1.self_attn.v_proj.weight"),
        ("model.safetensors", "speaker_encoder.fc.weight"),
        ("speech_tokenizer/model.safetensors", "decoder.pre_conv.conv.weight"),
        ("speech_tokenizer/model.safetensors", "encoder.encoder.layers.0.conv.weight"),
        (
            "speech_tokenizer/model.safetensors",
            "encoder.encoder_transformer.layers.0.self_attn.v_proj.weight",
        ),
    ):
        shutil.rmtree(work / "changed", ignore_errors=True)
        folder = shutil.copytree(root / "base-06", work / "changed")
        tensors = {key: tensor.clone() for key, tensor in load_file(folder / file).items()}
        tensors[name].view(-1)[0] += 10
        (folder / file).unlink()
        save_file(tensors, folder / file)
        engine, _ = loaded(folder)
        other = engine.make_voice(reference)
        found[name] = [
            any(not np.array_equal(other.tensors[key], prompt.tensors[key]) for key in prompt.tensors),
            not np.array_equal(spoken(engine, request(prompt=prompt)), audio),
        ]
    return found


def left_behind(root: Path, work: Path) -> dict[str, Any]:
    """What is left of a segment that ended early, one way or another, and how the next sounds."""
    folder = shutil.copytree(root / "endless", work / "endless")
    settings = folder / "generation_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"max_new_tokens": 33}))
    engine, _ = loaded(folder)
    short = request("Hi.")
    whole = spoken(engine, short)

    def left() -> list[Any]:
        wrapper: Any = engine._wrapper
        codec = wrapper.model.speech_tokenizer._codec.model
        modules = [*wrapper.model.modules(), *codec.modules()]
        hooks = sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in modules)
        return [hooks, threading.active_count(), bool(np.array_equal(spoken(engine, short), whole))]

    found = {"whole": left()}
    cancelled = threading.Event()
    for _ in engine.speak([request("Other words.")], cancelled):
        cancelled.set()
    found["cancelled"] = left()
    stream = engine.speak([request("Other words.")], threading.Event())
    next(iter(stream))
    close: Any = stream
    close.close()
    found["left alone"] = left()
    found["failed"] = [*refusal(lambda: chunks(engine, request("A ~ here."))), *left()]
    sizes = [len(chunk) // 1920 for chunk in chunks(engine, short) if chunk is not ENDLESS]
    return found | {"sizes": sizes, "marks": _without_marks(engine)}


def _without_marks(engine: Qwen3TtsEngine) -> bool:
    """A text with the model's own marks sounds like one with blanks."""
    marked = spoken(engine, request("Hi<|im_end|>you."))
    return bool(np.array_equal(marked, spoken(engine, request("Hi you."))))


def voices(root: Path, work: Path) -> dict[str, Any]:
    """How prompts are made of one and of several recordings, and what they change."""
    engine, _ = loaded(root / "base-06")
    low, high = recording(120), recording(300, 5)
    only = engine.make_voice([Reference(low, RATE_HZ)])
    told = engine.make_voice([Reference(low, RATE_HZ, "Low.")])
    other = engine.make_voice([Reference(high, RATE_HZ, "High.")])
    both = engine.make_voice([Reference(low, RATE_HZ, "Low."), Reference(high, RATE_HZ, "High.")])
    vector = "ref_spk_embedding"
    mean = (told.tensors[vector] + other.tensors[vector]) / 2
    audio = [spoken(engine, request(prompt=prompt)) for prompt in (only, told, other, both)]
    return {
        "only": [sorted(only.tensors), only.values["kind"], only.values["ref_text"]],
        "told": [sorted(told.tensors), told.values["kind"], told.values["ref_text"]],
        "types": [str(told.tensors["ref_code"].dtype), str(told.tensors[vector].dtype)],
        "shapes": [list(told.tensors["ref_code"].shape), list(told.tensors[vector].shape)],
        "mean": bool(np.allclose(both.tensors[vector], mean, atol=1e-6)),
        "longest": [
            both.values["ref_text"],
            bool(np.array_equal(both.tensors["ref_code"], other.tensors["ref_code"])),
        ],
        "differ": len({one.tobytes() for one in audio}),
        "volume": _difference(spoken(engine, request(prompt=told, volume=0.5)), audio[1] / 2),
    }


def eight_bits(root: Path, work: Path) -> dict[str, Any]:
    """Weights in 8 bits: computed once, read then, and made anew where the file is damaged."""
    cache = work / "cache"

    def once() -> tuple[str, Samples]:
        engine, steps = loaded(root / "speakers-17", quantization="int8", cache=cache, precision="bf16")
        return next(step for step in steps if "cache" in step or "computed" in step), spoken(
            engine, request()
        )

    first, second = once(), once()
    file = next(cache.glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(bytes(content))
    third = once()
    usual = spoken(loaded(root / "speakers-17", precision="bf16")[0], request())
    return {
        "steps": [first[0], second[0], third[0]],
        "same": [bool(np.array_equal(first[1], other[1])) for other in (second, third)],
        "finite": bool(np.isfinite(first[1]).all()),
        "rounded": not np.array_equal(first[1], usual),
    }


CHAPTERS: dict[str, Callable[[Path, Path], Any]] = {
    "refusals": refusals,
    "damage": damage,
    "one weight": one_weight,
    "left behind": left_behind,
    "voices": voices,
    "eight bits": eight_bits,
    "pieces": pieces,
    "upstream": against_upstream,
}


def main(chapter: str, root: Path, work: Path) -> None:
    """Print what a chapter finds.

    Args:
        chapter: One of `CHAPTERS`.
        root: The checkpoints.
        work: A folder of its own.
    """
    sys.addaudithook(_deny)
    work.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(sys.stderr):  # packages print
        found = CHAPTERS[chapter](root, work)
    print(json.dumps(found))


def _deny(event: str, arguments: object) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise PermissionError(f"the network was asked: {event}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
