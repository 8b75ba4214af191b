"""The catalogue: every model that voiced knows, as data. Sizes are counted from the models' configurations."""

import re

from voiced.models.spec import HubSource, ModelSpec

ESPEAK = ModelSpec(
    model="espeak",
    engine="espeak",
    licence="GPL-3.0-or-later",
    sample_rate_hz=22050,
    is_lean=True,
    is_embedded=True,
    controls=("speed", "pitch", "volume"),
    # Measured (tests.bench): a fork for each sentence costs a fifth of the synthesis, for 32 next to nothing.
    file_batch=32,
    stream_batch=8,
    about="espeak-ng, the embedded voice: over a hundred languages, nothing to download",
)

TONE = ModelSpec(
    model="tone",
    engine="tone",
    licence="Apache-2.0",
    sample_rate_hz=24000,
    has_folder=True,
    is_embedded=True,
    controls=("speed", "pitch", "volume"),
    about="a sine tone for tests: no speech, every sample known",
)

_TORCH_BYTES = 600 << 20
"""A worker with torch and transformers imported, measured."""

_QWEN_FILES = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "vocab.json",
    "speech_tokenizer/*.safetensors",
)
_QWEN_CODEC_BYTES = 700_000_000


def _qwen(size: str, kind: str, identity: str, about: str) -> ModelSpec:
    suffix = {"Base": "", "CustomVoice": "-speakers", "VoiceDesign": "-design"}[kind]
    # Counted from the configurations: 914.6 M and 1,928.7 M parameters, bf16; the codec is fp32 on disk.
    parameters = {"0.6b": 914_600_000, "1.7b": 1_928_700_000}[size]
    return ModelSpec(
        model=f"qwen3-tts:{size}{suffix}",
        engine="qwen3-tts",
        family="qwen3-tts",
        licence="Apache-2.0",
        sample_rate_hz=24000,
        has_gpu_path=True,
        has_folder=True,
        identity=identity,
        max_segment_chars=400,
        slowest_s_per_char=5.0,
        precisions=("bf16", "fp32", "fp16"),
        quantizations=("none", "int8"),
        weights_bytes=2 * parameters + _QWEN_CODEC_BYTES,
        # Others measured 6.7 GB (0.6B) and 5.6 to 8.6 GB (1.7B) of VRAM in use; half of it is a first guess.
        work_bytes=_TORCH_BYTES + (1 << 30),
        min_vram_gb={"0.6b": 4.0, "1.7b": 6.0}[size],
        sources=(
            HubSource(
                f"Qwen/Qwen3-TTS-12Hz-{size.upper()}-{kind}",
                ("*.json", "*.safetensors", "*.txt", "speech_tokenizer/*"),
            ),
        ),
        files=_QWEN_FILES,
        about=about,
    )


def _mlx(size: str) -> ModelSpec:
    torch = _qwen(size, "Base", "prompt", f"Qwen3-TTS {size.upper()} for Apple's chips, by MLX")
    source = HubSource(f"mlx-community/Qwen3-TTS-12Hz-{size.upper()}-Base-bf16", torch.sources[0].files)
    return torch._replace(
        model=f"{torch.model}-mlx",
        engine="qwen3-mlx",
        family="qwen3-mlx",
        has_gpu_path=False,  # MLX finds the chip's GPU itself
        min_vram_gb=0.0,
        quantizations=("none",),
        precisions=("bf16",),
        sources=(source,),
    )


_MODELS = (
    ESPEAK,
    TONE,
    _qwen("0.6b", "Base", "prompt", "Qwen3-TTS 0.6B: clones a voice from a recording, ten languages"),
    _qwen("1.7b", "Base", "prompt", "Qwen3-TTS 1.7B: clones a voice from a recording, ten languages"),
    _qwen("0.6b", "CustomVoice", "speaker", "Qwen3-TTS 0.6B with nine speakers of its own"),
    _qwen("1.7b", "CustomVoice", "speaker", "Qwen3-TTS 1.7B with nine speakers of its own"),
    _qwen("1.7b", "VoiceDesign", "description", "Qwen3-TTS 1.7B: a voice from a description"),
    _mlx("0.6b"),
    _mlx("1.7b"),
    ModelSpec(
        model="chatterbox",
        engine="chatterbox",
        family="chatterbox",
        licence="MIT",
        sample_rate_hz=24000,
        has_gpu_path=True,
        has_folder=True,
        identity="prompt",
        max_segment_chars=300,
        slowest_s_per_char=10.0,
        # 798 M parameters, loaded in fp32 by its package.
        weights_bytes=3_190_000_000,
        work_bytes=_TORCH_BYTES + (1 << 30),
        min_vram_gb=6.0,
        sources=(
            HubSource(
                "ResembleAI/chatterbox",
                ("ve.safetensors", "t3_cfg.safetensors", "s3gen.safetensors", "tokenizer.json", "conds.pt"),
            ),
        ),
        files=("ve.safetensors", "t3_cfg.safetensors", "s3gen.safetensors", "tokenizer.json"),
        about="Chatterbox: clones a voice from a recording, English; its output is watermarked",
    ),
    ModelSpec(
        model="maya1",
        engine="maya1",
        licence="Apache-2.0",
        sample_rate_hz=24000,
        has_gpu_path=True,
        has_folder=True,
        identity="description",
        # The publisher's example ends at 2,048 tokens: 25 s.
        max_segment_chars=300,
        slowest_s_per_char=10.0,
        precisions=("bf16", "fp32", "fp16"),
        # 3,301 M parameters in bf16, and SNAC with 19.8 M in fp32.
        weights_bytes=6_602_000_000 + 79_000_000,
        work_bytes=_TORCH_BYTES + (1 << 30),
        min_vram_gb=10.0,
        sources=(
            HubSource("maya-research/maya1", ("*.json", "*.safetensors", "*.model", "*.txt", "tokenizer/*")),
            HubSource("hubertsiuzdak/snac_24khz", ("config.json", "pytorch_model.bin"), folder="snac"),
        ),
        files=("config.json", "*.safetensors", "tokenizer*", "snac/config.json", "snac/pytorch_model.bin"),
        about="Maya1 3B: a voice from a description, with laughs and sighs, English",
    ),
    ModelSpec(
        model="maya1:gguf",
        engine="maya1-gguf",
        family="maya1-gguf",
        licence="Apache-2.0",
        sample_rate_hz=24000,
        has_folder=True,
        identity="description",
        max_segment_chars=300,
        slowest_s_per_char=5.0,
        weights_bytes=3_600_000_000,
        work_bytes=_TORCH_BYTES + (1 << 30),
        files=("*.gguf", "snac/config.json", "snac/pytorch_model.bin"),
        about="Maya1 as a GGUF file for llama.cpp: name it yourself with --repository and --file, or import it",
    ),
    ModelSpec(
        model="openaudio-s1-mini",
        engine="openaudio",
        family="openaudio",
        licence="CC-BY-NC-SA-4.0",
        is_noncommercial=True,
        sample_rate_hz=44100,
        has_gpu_path=True,
        has_folder=True,
        identity="prompt",
        slowest_s_per_char=10.0,
        precisions=("bf16", "fp32", "fp16"),
        # Files of 1.74 GB and 1.87 GB; a KV cache of 896 MiB for 8192 positions, and its mask.
        weights_bytes=3_610_000_000,
        work_bytes=_TORCH_BYTES + (1 << 30),
        min_vram_gb=6.0,
        sources=(
            HubSource(
                "fishaudio/openaudio-s1-mini",
                ("config.json", "model.pth", "codec.pth", "tokenizer.tiktoken", "special_tokens.json"),
            ),
        ),
        files=("config.json", "model.pth", "codec.pth", "tokenizer.tiktoken", "special_tokens.json"),
        about="OpenAudio S1-mini: clones a voice from a recording, 14 languages; not for commercial use",
    ),
    ModelSpec(
        model="kokoro",
        engine="kokoro",
        family="kokoro",
        controls=("speed", "volume"),
        licence="Apache-2.0",
        sample_rate_hz=24000,
        has_gpu_path=True,
        has_folder=True,
        slowest_s_per_char=1.0,
        # 81.0 M parameters.
        weights_bytes=327_000_000,
        work_bytes=_TORCH_BYTES + (400 << 20),
        min_vram_gb=2.0,
        sources=(HubSource("hexgrad/Kokoro-82M", ("config.json", "kokoro-v1_0.pth", "voices/*.pt")),),
        files=("config.json", "kokoro-v1_0.pth", "voices/*.pt"),
        about="Kokoro 82M: good voices in six languages, fast on a CPU",
    ),
)

CATALOGUE: dict[str, ModelSpec] = {spec.model: spec for spec in _MODELS}
"""The models with an id of their own; see `find_spec` for the families that take a name."""

_ALIASES = {
    # A size that nobody names means 1.7B.
    "qwen3-tts": "qwen3-tts:1.7b",
}

_PIPER_VOICE = re.compile(r"([a-z]{2,3})_([A-Z]{2,4})-([a-z0-9_]+)-(x_low|low|medium|high)")
_MMS_LANGUAGE = re.compile(r"[a-z]{3}(-[a-z0-9_-]+)?")


def find_spec(model: str) -> ModelSpec | None:
    """Return what is known of a model; None = there is none of that id.

    Args:
        model: An id of the catalogue, `qwen3-tts` for its usual size, `piper:<voice>` or `mms:<language>`.
    """
    model = _ALIASES.get(model, model)
    family, _, name = model.partition(":")
    if family == "piper" and (match := _PIPER_VOICE.fullmatch(name)):
        return _piper(model, *match.groups())
    if family == "mms" and _MMS_LANGUAGE.fullmatch(name):
        return _mms(model, name)
    return CATALOGUE.get(model)


def _piper(model: str, language: str, region: str, name: str, quality: str) -> ModelSpec:
    voice = model.partition(":")[2]
    base = f"{language}/{language}_{region}/{name}/{quality}"
    return ModelSpec(
        model=model,
        engine="piper",
        family="piper",
        controls=("speed", "volume"),
        licence="per voice",
        sample_rate_hz=16000 if quality in ("x_low", "low") else 22050,
        has_folder=True,
        slowest_s_per_char=0.5,
        weights_bytes=(120 << 20) if quality == "high" else (64 << 20),
        work_bytes=200 << 20,
        sources=(
            HubSource(
                "rhasspy/piper-voices", (f"{voice}.onnx", f"{voice}.onnx.json", "MODEL_CARD"), base=base
            ),
        ),
        files=("*.onnx", "*.onnx.json"),
        about=f"Piper, {name} ({language}-{region}), {quality} quality",
    )


def _mms(model: str, language: str) -> ModelSpec:
    return ModelSpec(
        model=model,
        engine="vits",
        controls=("speed", "volume"),
        licence="CC-BY-NC-4.0",
        is_noncommercial=True,
        sample_rate_hz=16000,
        has_gpu_path=True,
        has_folder=True,
        slowest_s_per_char=0.5,
        speaks_numbers=False,  # its vocabulary has letters only
        # 36.3 M parameters.
        weights_bytes=145_000_000,
        work_bytes=_TORCH_BYTES + (200 << 20),
        min_vram_gb=2.0,
        sources=(HubSource(f"facebook/mms-tts-{language}", ("*.json", "*.safetensors", "*.txt")),),
        files=("config.json", "*.safetensors", "vocab.json"),
        about=f"MMS/VITS, {language}; not for commercial use",
    )
