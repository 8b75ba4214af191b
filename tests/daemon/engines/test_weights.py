"""Weights from mapped files into modules built without memory: what fits, and what each misfit says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from voiced.engines.weights import (
    built_without_memory,
    fold_weight_norm,
    put,
    read_config,
    refuse_other_depth,
    refuse_unset,
    tensors_of,
    weight_files,
)
from voiced_ipc.errors import EngineLoadFailed, ModelDamaged

_MEGABYTE = 1 << 20


class Small(nn.Module):
    """Two layers that share a weight, and a buffer that no file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4, bias=False)
        self.register_buffer("table", torch.arange(4.0), persistent=False)


def empty() -> Small:
    with built_without_memory():
        return Small()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "model.safetensors"
    save_file(Small().state_dict(), made)
    return made


class TestPut:
    def test_the_module_has_the_values_of_the_file(self, file: Path) -> None:
        module, tensors = empty(), tensors_of([file])
        put(module, tensors)
        for name, value in module.state_dict().items():
            assert torch.equal(value, tensors[name])

    def test_nothing_is_copied(self, file: Path) -> None:
        module, tensors = empty(), tensors_of([file])
        put(module, tensors)
        assert module.first.weight.data_ptr() == tensors["first.weight"].data_ptr()

    def test_converted(self, file: Path) -> None:
        module, tensors = empty(), tensors_of([file])
        put(module, tensors, dtype=torch.bfloat16)
        assert module.first.weight.dtype == torch.bfloat16

    def test_whole_numbers_stay_whole(self) -> None:
        module = nn.BatchNorm1d(2)
        put(module, module.state_dict(), dtype=torch.float16)
        assert module.num_batches_tracked is not None
        assert module.num_batches_tracked.dtype == torch.int64

    def test_missing(self, file: Path) -> None:
        tensors = tensors_of([file])
        del tensors["second.weight"]
        with pytest.raises(EngineLoadFailed, match=r"1 weights are missing from the file \(second.weight\)"):
            put(empty(), tensors)
        put(empty(), tensors, may_miss=lambda name: name == "second.weight")

    def test_too_many(self, file: Path) -> None:
        tensors = tensors_of([file]) | {"third": torch.zeros(1)}
        with pytest.raises(EngineLoadFailed, match=r"too many in the file \(third\)"):
            put(empty(), tensors)
        put(empty(), tensors, may_ignore=lambda name: name == "third")

    def test_misshapen(self, file: Path) -> None:
        tensors = tensors_of([file]) | {"first.weight": torch.zeros(4, 5)}
        with pytest.raises(EngineLoadFailed, match=r"do not fit the model: size mismatch for first\.weight"):
            put(empty(), tensors)

    def test_of_another_kind(self, file: Path) -> None:
        tensors = tensors_of([file]) | {"first.weight": torch.zeros(4, 4, dtype=torch.int64)}
        with pytest.raises(EngineLoadFailed, match="do not fit the model"):
            put(empty(), tensors)

    def test_what_no_file_holds_must_be_made(self, file: Path) -> None:
        module = empty()
        put(module, tensors_of([file]))
        with pytest.raises(EngineLoadFailed, match="table"):
            refuse_unset(module)
        module.table = torch.arange(4.0)
        refuse_unset(module)


class TestFiles:
    @pytest.mark.parametrize("kept", [0, 4, 40, -1])
    def test_cut_off(self, file: Path, kept: int) -> None:
        file.write_bytes(file.read_bytes()[:kept])
        with pytest.raises(ModelDamaged, match=r"model\.safetensors cannot be read .*import or pull"):
            tensors_of([file])

    @pytest.mark.parametrize("content", [b"\x80\x04}q\x00.", b"\xff" * 64, (1 << 62).to_bytes(8, "little")])
    def test_something_else(self, file: Path, content: bytes) -> None:
        file.write_bytes(content)
        with pytest.raises(ModelDamaged, match="cannot be read"):
            tensors_of([file])

    def test_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ModelDamaged, match=r"gone\.safetensors"):
            tensors_of([tmp_path / "gone.safetensors"])

    def test_all_of_the_folder(self, tmp_path: Path) -> None:
        for name in ("b.safetensors", "a.safetensors", "c.txt"):
            (tmp_path / name).touch()
        assert [found.name for found in weight_files(tmp_path)] == ["a.safetensors", "b.safetensors"]

    def test_those_of_the_index(self, tmp_path: Path) -> None:
        (tmp_path / "old.safetensors").touch()
        weights = {"x": "m-2.safetensors", "y": "m-1.safetensors", "z": "m-2.safetensors"}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
        assert [found.name for found in weight_files(tmp_path)] == ["m-1.safetensors", "m-2.safetensors"]

    @pytest.mark.parametrize(
        "index",
        ['{"weight_map": {"x": "../secret.safetensors"}}', '{"weight_map": {"x": "a.pth"}}', "{}", "[]", "{"],
    )
    def test_no_index(self, tmp_path: Path, index: str) -> None:
        (tmp_path / "model.safetensors.index.json").write_text(index)
        with pytest.raises(ModelDamaged, match=r"model\.safetensors\.index\.json"):
            weight_files(tmp_path)

    def test_none(self, tmp_path: Path) -> None:
        with pytest.raises(ModelDamaged, match="no weights"):
            weight_files(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'"text"'])
    def test_no_configuration(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "config.json").write_bytes(content)
        with pytest.raises(ModelDamaged, match=r"config\.json"):
            read_config(tmp_path / "config.json")

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ModelDamaged, match=r"config\.json"):
            read_config(tmp_path / "config.json")


class TestDepth:
    NAMES = ("layers.0.a", "layers.0.b", "layers.1.a", "norm")

    def test_the_same(self) -> None:
        refuse_other_depth(self.NAMES, "layers.", 2)

    @pytest.mark.parametrize("layers", [-1, 0, 1, 3, 10**12])
    def test_another(self, layers: int) -> None:
        with pytest.raises(EngineLoadFailed, match=f"{layers} layers and the weights have 2"):
            refuse_other_depth(self.NAMES, "layers.", layers)


def test_folded_weight_norms_compute_the_same() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(weight_norm(nn.Conv1d(2, 3, 5)), nn.ReLU(), weight_norm(nn.Conv1d(3, 1, 1))).eval()
    heard = torch.randn(1, 2, 20)
    with torch.inference_mode():
        before = module(heard)
        fold_weight_norm(module)
        assert torch.equal(module(heard), before)
    assert set(module.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}


_LOAD = """
import re, sys
from pathlib import Path
import torch
from torch import nn
from voiced.engines.weights import built_without_memory, put, tensors_of

def memory_bytes(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

torch.set_grad_enabled(False)
before = memory_bytes("VmRSS")
with built_without_memory():
    module = nn.Sequential(*[nn.Linear(2560, 2560, bias=False) for _ in range(8)])
put(module, tensors_of([Path(sys.argv[1])]), dtype=torch.float32)
for layer in module:
    layer(torch.ones(1, 2560))
print(memory_bytes("VmHWM") - before)
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_load_takes_the_memory_of_the_weights_once(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({f"{layer}.weight": torch.full((2560, 2560), 0.5) for layer in range(8)}, file)
    size = file.stat().st_size
    assert size > 190 * _MEGABYTE
    child = subprocess.run(
        [sys.executable, "-c", _LOAD, str(file)], check=True, capture_output=True, text=True, timeout=60
    )
    assert 0.9 * size <= int(child.stdout) <= 1.25 * size
