"""Apple's fallback: 0.6B runs as 1.7B where MLX has no 0.6B, and says so in three parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.models.apple import mlx_model, on_apple
from voiced.models.catalogue import CATALOGUE

_BIG = ("qwen3-tts:1.7b", "qwen3-tts:1.7b-speakers", "qwen3-tts:1.7b-design")
_BOTH = (*_BIG, "qwen3-tts:0.6b", "qwen3-tts:0.6b-speakers")


@pytest.mark.parametrize(
    ("asked", "runs"),
    [("qwen3-tts:0.6b", "qwen3-tts:1.7b"), ("qwen3-tts:0.6b-speakers", "qwen3-tts:1.7b-speakers")],
)
def test_the_small_model_falls_back_where_mlx_has_none(asked: str, runs: str) -> None:
    choice = mlx_model(asked, _BIG)
    assert choice.model == runs
    missing, falling_back, quality = choice.warning.split("; ")
    assert asked in missing
    assert "not available for MLX" in missing
    assert f"falling back to {runs}" in falling_back
    assert "quality will be that of the 1.7B model" in quality


@pytest.mark.parametrize("asked", _BOTH)
def test_what_mlx_has_runs_as_it_was_asked_for(asked: str) -> None:
    assert mlx_model(asked, _BOTH) == (asked, "")


@pytest.mark.parametrize("asked", _BIG)
def test_the_big_model_never_falls_back(asked: str) -> None:
    assert mlx_model(asked, _BIG) == (asked, "")


def test_where_neither_is_there_the_answer_is_the_request() -> None:
    assert mlx_model("qwen3-tts:0.6b", ()) == ("qwen3-tts:0.6b", "")


@given(st.sampled_from(sorted(CATALOGUE)), st.sets(st.sampled_from(_BOTH)))
def test_a_warning_is_there_exactly_where_another_model_runs(asked: str, catalogue: set[str]) -> None:
    choice = mlx_model(asked, catalogue)
    assert bool(choice.warning) == (choice.model != asked)
    assert choice.model == asked or choice.model in catalogue


BOTH = ("qwen3-tts:0.6b", "qwen3-tts:1.7b", "qwen3-tts:0.6b-mlx", "qwen3-tts:1.7b-mlx", "kokoro")
BIG_ONLY = ("qwen3-tts:0.6b", "qwen3-tts:1.7b", "qwen3-tts:1.7b-mlx")


@pytest.mark.parametrize(
    ("asked", "catalogue", "installed", "runs", "warns"),
    [
        ("qwen3-tts:1.7b", BOTH, ["qwen3-tts:1.7b-mlx"], "qwen3-tts:1.7b-mlx", False),
        ("qwen3-tts:0.6b", BOTH, ["qwen3-tts:0.6b-mlx"], "qwen3-tts:0.6b-mlx", False),
        ("qwen3-tts:0.6b", BIG_ONLY, ["qwen3-tts:1.7b-mlx"], "qwen3-tts:1.7b-mlx", True),
        ("qwen3-tts:0.6b", BIG_ONLY, ["qwen3-tts:0.6b"], "qwen3-tts:0.6b", False),
        ("qwen3-tts:1.7b", BOTH, ["qwen3-tts:1.7b"], "qwen3-tts:1.7b", False),
        ("qwen3-tts:1.7b", BOTH, [], "qwen3-tts:1.7b-mlx", False),
        ("qwen3-tts:1.7b-design", BOTH, [], "qwen3-tts:1.7b-design", False),
        ("qwen3-tts:1.7b-mlx", BOTH, [], "qwen3-tts:1.7b-mlx", False),
        ("kokoro", BOTH, [], "kokoro", False),
        ("qwen3-tts:1.7b", ("qwen3-tts:1.7b",), [], "qwen3-tts:1.7b", False),
    ],
)
def test_what_serves_on_apple(
    asked: str, catalogue: tuple[str, ...], installed: list[str], runs: str, warns: bool
) -> None:
    choice = on_apple(asked, catalogue, installed)
    assert (choice.model, bool(choice.warning)) == (runs, warns)
