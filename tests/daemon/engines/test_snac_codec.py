"""SNAC in pieces: equal to the whole, whoever cuts it; and what it does not take."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tests.daemon.engines.checkpoints import converted
from tests.daemon.engines.checkpoints.maya1 import write_snac
from voiced.engines.snac_codec import CONTEXT_FRAMES, SnacCodec
from voiced_ipc.errors import EngineLoadFailed, ModelDamaged, SynthesisFailed

HOP = 2048
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("snac")
    write_snac(made)
    return converted(made)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A codec that the test may spoil."""
    write_snac(tmp_path)
    return converted(tmp_path)


@pytest.fixture(scope="module")
def codec(folder: Path) -> SnacCodec:
    torch.set_num_threads(1)
    return SnacCodec(folder, CPU)


def frames(count: int, seed: int = 0) -> list[list[int]]:
    drawn: list[list[int]] = np.random.default_rng(seed).integers(0, 4096, (count, 7)).tolist()
    return drawn


def streamed(codec: SnacCodec, count: int, seed: int = 1) -> list[Any]:
    return list(codec.stream(iter(frames(count)), seed))


class TestPieces:
    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 17, 40])
    def test_streamed_as_whole(self, codec: SnacCodec, count: int) -> None:
        pieces = np.concatenate(streamed(codec, count))
        assert len(pieces) == count * HOP
        np.testing.assert_allclose(pieces, codec.decode(frames(count), 1), atol=2e-6)

    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, 20), st.integers(1, 6))
    def test_any_piece(self, codec: SnacCodec, start: int, length: int) -> None:
        all_frames = frames(30)
        whole = codec.decode(all_frames, 1)
        first = max(0, start - CONTEXT_FRAMES)
        last = min(30, start + length + CONTEXT_FRAMES)
        piece = codec.decode(all_frames[first:last], 1, first)[(start - first) * HOP :][: length * HOP]
        np.testing.assert_allclose(piece, whole[start * HOP : (start + length) * HOP], atol=2e-6)

    def test_the_first_is_heard_after_four_frames(self, codec: SnacCodec) -> None:
        asked = 0

        def coming() -> Any:
            nonlocal asked
            for frame in frames(40):
                asked += 1
                yield frame

        stream = codec.stream(coming(), 1)
        assert len(next(stream)) == HOP
        assert asked == 1 + CONTEXT_FRAMES
        sizes = [len(piece) // HOP for piece in stream]
        assert sizes[:3] == [2, 4, 8]
        assert sum(sizes) == 39

    def test_none(self, codec: SnacCodec) -> None:
        assert streamed(codec, 0) == []


class TestNoise:
    def test_there_is_some_and_the_seed_decides(self, codec: SnacCodec) -> None:
        torch.manual_seed(99)
        once = codec.decode(frames(5), 1)
        torch.manual_seed(7)
        assert np.array_equal(codec.decode(frames(5), 1), once)
        assert not np.array_equal(codec.decode(frames(5), 2), once)

    def test_no_two_frames_share_it(self, codec: SnacCodec) -> None:
        same = codec.decode([frames(1)[0]] * 9, 1).reshape(9, HOP)
        inner = same[3:6]
        assert not np.allclose(inner[0], inner[1], atol=1e-4)
        assert not np.allclose(inner[1], inner[2], atol=1e-4)

    def test_a_codec_without(self, own: Path) -> None:
        config = json.loads((own / "config.json").read_text())
        (own / "config.json").write_text(json.dumps(config | {"noise": False}))
        tensors = load_file(own / "pytorch_model.safetensors")
        kept: dict[str, torch.Tensor] = {}
        for name, tensor in tensors.items():
            parts = name.split(".")
            if parts[:2] == ["decoder", "model"] and len(parts) > 5 and parts[3] == "block":
                if parts[4] == "2":  # the noise block; what follows moves up
                    continue
                parts[4] = str(int(parts[4]) - (int(parts[4]) > 2))
            kept[".".join(parts)] = tensor
        save_file(kept, own / "pytorch_model.safetensors")
        silent = SnacCodec(own, CPU)
        assert np.array_equal(silent.decode(frames(4), 1), silent.decode(frames(4), 2))


class TestRefusals:
    @pytest.mark.parametrize("code", [-1, 4096])
    def test_a_code_that_is_none(self, codec: SnacCodec, code: int) -> None:
        with pytest.raises(SynthesisFailed, match="code that the codec does not have"):
            codec.decode([[0, 0, 0, code, 0, 0, 0]], 1)

    def test_no_numbers(self, own: Path) -> None:
        tensors = load_file(own / "pytorch_model.safetensors")
        tensors["quantizer.quantizers.0.codebook.weight"].fill_(float("nan"))
        save_file(tensors, own / "pytorch_model.safetensors")
        with pytest.raises(SynthesisFailed, match="no numbers"):
            SnacCodec(own, CPU).decode(frames(1), 1)

    @pytest.mark.parametrize(
        "change",
        [
            {"sampling_rate": 44100},
            {"vq_strides": [8, 4, 2, 1]},
            {"attn_window_size": 32},
            {"codebook_size": 1024},
        ],
    )
    def test_another_snac(self, own: Path, change: dict[str, Any]) -> None:
        config = json.loads((own / "config.json").read_text())
        (own / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(EngineLoadFailed, match="24 kHz"):
            SnacCodec(own, CPU)

    @pytest.mark.parametrize(
        "change", [{"decoder_dim": 32}, {"decoder_dim": "wide"}, {"surprise": 1}, {"decoder_rates": [512]}]
    )
    def test_no_snac(self, own: Path, change: dict[str, Any]) -> None:
        config = json.loads((own / "config.json").read_text())
        (own / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(EngineLoadFailed):
            SnacCodec(own, CPU)

    def test_a_missing_weight(self, own: Path) -> None:
        tensors = load_file(own / "pytorch_model.safetensors")
        del tensors["decoder.model.1.bias"]
        save_file(tensors, own / "pytorch_model.safetensors")
        with pytest.raises(EngineLoadFailed, match=r"decoder\.model\.1\.bias"):
            SnacCodec(own, CPU)

    def test_not_converted(self, tmp_path: Path) -> None:
        write_snac(tmp_path)
        with pytest.raises(ModelDamaged, match=r"pytorch_model\.safetensors"):
            SnacCodec(tmp_path, CPU)
