"""The catalogue: every model is whole, and every id is found or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.models.published import PIPER, VOICE
from voiced.child.worker import ENGINES
from voiced.models.catalogue import CATALOGUE, find_spec
from voiced.models.importing import matches
from voiced.models.library import folder_name
from voiced.models.spec import ModelSpec, weights_bytes

NAMED = [PIPER, "piper:de_DE-thorsten-high", "mms:deu", "mms:uzb-script_cyrillic"]


def specs() -> list[ModelSpec]:
    named = [find_spec(model) for model in NAMED]
    return [*CATALOGUE.values(), *(spec for spec in named if spec is not None)]


@pytest.mark.parametrize("spec", specs(), ids=lambda spec: str(spec.model))
def test_every_model_is_whole(spec: ModelSpec) -> None:
    assert find_spec(spec.model) == spec
    assert folder_name(spec.model)
    assert spec.is_lean or spec.engine in ENGINES
    assert spec.licence
    assert spec.about
    assert spec.sample_rate_hz >= 16000
    assert spec.identity in ("speaker", "prompt", "description")
    assert set(spec.precisions) <= {"fp32", "fp16", "bf16"}
    assert set(spec.quantizations) <= {"none", "int8"}
    assert spec.max_segment_chars > 0
    assert spec.slowest_s_per_char > 0
    assert spec.is_noncommercial is ("NC" in spec.licence)
    assert (spec.min_vram_gb > 0) is spec.has_gpu_path


@pytest.mark.parametrize(
    "spec", [spec for spec in specs() if not spec.is_embedded], ids=lambda spec: str(spec.model)
)
def test_every_model_that_is_installed_has_files_and_sizes(spec: ModelSpec) -> None:
    assert spec.has_folder
    assert spec.files
    assert spec.weights_bytes > 1_000_000
    assert spec.needs_bytes > spec.weights_bytes
    # What is pulled is what must be there: each pattern of the one can meet one of the other.
    published = ["/".join(filter(None, (one.folder, name))) for one in spec.sources for name in one.files]
    for pattern in spec.files if spec.sources else ():
        samples = [pattern.replace("*", "x"), pattern.replace("*", "x.json")]
        assert any(
            matches(other, sample) or matches(pattern, other.replace("*", "x"))
            for other in published
            for sample in samples
        )


def test_qwen_without_a_size_is_the_larger() -> None:
    assert find_spec("qwen3-tts") is CATALOGUE["qwen3-tts:1.7b"]


def test_a_piper_voice_tells_where_it_lies() -> None:
    spec = find_spec(PIPER)
    assert spec is not None
    (source,) = spec.sources
    assert source.base == "en/en_US/lessac/low"
    assert source.files[:2] == (f"{VOICE}.onnx", f"{VOICE}.onnx.json")
    assert spec.sample_rate_hz == 16000
    high = find_spec("piper:de_DE-thorsten-high")
    assert high is not None
    assert (high.sample_rate_hz, high.engine) == (22050, "piper")


def test_an_mms_language_is_a_repository() -> None:
    spec = find_spec("mms:deu")
    assert spec is not None
    assert spec.sources[0].repository == "facebook/mms-tts-deu"
    assert spec.is_noncommercial


@pytest.mark.parametrize(
    "model",
    ["", "nonsense", "piper:", "piper:x", "piper:../../x", "mms:", "mms:d", "mms:../x", "kokoro:x", "ESPEAK"],
)
def test_ids_that_are_none(model: str) -> None:
    assert find_spec(model) is None


@given(st.text(max_size=20), st.sampled_from(["", "piper:", "mms:", "maya1:"]))
def test_whatever_is_found_can_be_a_folder(name: str, family: str) -> None:
    spec = find_spec(family + name)
    if spec is not None:
        assert "/" not in folder_name(spec.model)


@pytest.mark.parametrize(
    ("precision", "quantization", "share"),
    [("bf16", "none", 1.0), ("fp32", "none", 2.0), ("bf16", "int8", 0.5)],
)
def test_weights_take_what_their_width_says(precision: str, quantization: str, share: float) -> None:
    spec = CATALOGUE["qwen3-tts:0.6b"]
    assert weights_bytes(spec, precision, quantization) == int(spec.weights_bytes * share)


def test_only_engines_of_letters_have_numbers_put_in_words() -> None:
    mms = find_spec("mms:deu")
    assert mms is not None
    assert not mms.speaks_numbers
    assert all(spec.speaks_numbers for spec in CATALOGUE.values())
