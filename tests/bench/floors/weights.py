"""Weights of a model until the first forward is done, again and again in one process whose imports are over.

    python weights.py OVERLAY CASE FOLDER THREADS

CASE is `qwen3-tts` or `kokoro`. Then each line of the input is a JSON map with `how`, which is one of

    engine   the engine of voiced, as a worker loads it
    mapped   built without memory, the file mapped, its tensors put in place: what it cannot do without
    usual    built normally, read, copied in: what packages do by themselves

and is answered by a JSON map with milliseconds of load and forward, of what the engine loads beside these weights, the
loudness of what the forward made, and the greatest memory that this process ever had.
"""

import gc
import importlib
import io
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

_DTYPES = {"BF16": "bfloat16", "F32": "float32", "I64": "int64"}
_POSITIONS = 24


class Case(NamedTuple):
    """A model whose weights are loaded."""

    file: Callable[[Path], Path]
    build: Callable[[Path, bool], Any]
    """With random weights, or without any."""
    rename: Callable[[str], str]
    """A tensor of the file, in the module."""
    finish: Callable[[Any], None]
    """Compute what no file holds."""
    forward: Callable[[Any], Any]
    """Returns what it made."""
    engine: str
    precision: str
    held: Callable[[Any], Any]
    """The module that a loaded engine holds."""
    last_step: int
    """Of the engine's steps, the one that says that these weights are in place."""


def main() -> None:
    overlay, name, folder, threads = sys.argv[1:]
    sys.path.insert(0, overlay)
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(int(threads))
    torch.set_grad_enabled(False)
    case, path = _CASES[name], Path(folder)
    _warm_up(case, path)
    print("ready", flush=True)
    for line in sys.stdin:
        how = json.loads(line)["how"]
        work = _by_engine if how == "engine" else _by_copying if how == "usual" else _by_mapping
        answer = work(case, path, int(threads))
        gc.collect()
        print(json.dumps({**answer, "peak_bytes": _peak_bytes()}), flush=True)


def _warm_up(case: Case, folder: Path) -> None:
    """Import everything, and bring the file into the system's cache; nothing of it stays in this process's peak."""
    case.build(folder, False)
    _engine_class(case)
    with case.file(folder).open("rb", buffering=0) as file:
        block = bytearray(1 << 20)
        while file.readinto(block):
            pass


def _by_engine(case: Case, folder: Path, threads: int) -> dict[str, float]:
    from voiced.engines.base import LoadSettings

    engine = _engine_class(case)()
    settings = LoadSettings(model=case.engine, precision=case.precision, threads=threads)
    stamps = [time.perf_counter() for _ in engine.load(folder, settings)]
    load_ms = (stamps[case.last_step] - stamps[case.last_step - 1]) * 1000
    beside_ms = (stamps[-1] - stamps[case.last_step]) * 1000
    answer = {"load_ms": load_ms, "beside_ms": beside_ms, **_forward(case, case.held(engine))}
    engine.unload()
    return answer


def _by_mapping(case: Case, folder: Path, threads: int) -> dict[str, float]:
    del threads
    began = time.perf_counter()
    model = case.build(folder, False)
    tensors = {case.rename(name): tensor for name, tensor in mapped(case.file(folder)).items()}
    model.load_state_dict(tensors, strict=False, assign=True)
    return _finished(case, model, began)


def _by_copying(case: Case, folder: Path, threads: int) -> dict[str, float]:
    del threads
    from safetensors.torch import load_file

    began = time.perf_counter()
    model = case.build(folder, True)
    tensors = {case.rename(name): tensor for name, tensor in load_file(case.file(folder)).items()}
    model.load_state_dict(tensors, strict=False)
    return _finished(case, model, began)


def _finished(case: Case, model: Any, began: float) -> dict[str, float]:
    case.finish(model)
    model.eval()
    load_ms = (time.perf_counter() - began) * 1000
    return {"load_ms": load_ms, "beside_ms": 0.0, **_forward(case, model)}


def mapped(file: Path) -> dict[str, Any]:
    """Return the tensors of a safetensors file, as they lie in it."""
    import torch

    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        header: dict[str, Any] = json.loads(opened.read(size))
    storage: Any = torch.UntypedStorage.from_file(str(file), shared=False, nbytes=file.stat().st_size)
    found = {}
    for name, told in header.items():
        if name == "__metadata__":
            continue
        dtype = getattr(torch, _DTYPES[told["dtype"]])
        start = (8 + size + told["data_offsets"][0]) // dtype.itemsize
        strides = [math.prod(told["shape"][place + 1 :]) for place in range(len(told["shape"]))]
        found[name] = torch.tensor([], dtype=dtype).set_(storage, start, told["shape"], strides)
    return found


def _engine_class(case: Case) -> Any:
    from voiced.child.worker import ENGINES

    module, name = ENGINES[case.engine]
    return getattr(importlib.import_module(module), name)


def _forward(case: Case, model: Any) -> dict[str, float]:
    began = time.perf_counter()
    made = case.forward(model)
    return {"forward_ms": (time.perf_counter() - began) * 1000, "loudness": float(made.float().abs().mean())}


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


# -- Qwen3-TTS ------------------------------------------------------------------------------------------


def _build_qwen(folder: Path, is_random: bool) -> Any:
    import torch

    from voiced.engines import qwen3_stubs

    qwen3_stubs.import_package()
    models = importlib.import_module("qwen_tts.core.models")
    config = models.Qwen3TTSConfig(**json.loads((folder / "config.json").read_text()))
    torch.set_default_dtype(torch.bfloat16)
    unfilled = importlib.import_module("transformers.modeling_utils").no_init_weights
    try:
        with torch.device("cpu" if is_random else "meta"), nullcontext() if is_random else unfilled():
            return models.Qwen3TTSForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(torch.float32)


def _finish_qwen(model: Any) -> None:
    for module in model.modules():
        if hasattr(module, "rope_init_fn"):
            module.inv_freq, module.attention_scaling = module.rope_init_fn(module.config, "cpu")
            module.original_inv_freq = module.inv_freq


def _forward_qwen(model: Any) -> Any:
    """24 positions of the talker and one frame's first pass of the predictor."""
    import torch

    talker = model.talker
    torch.manual_seed(0)
    embedded = torch.randn(1, _POSITIONS, talker.config.hidden_size, dtype=torch.bfloat16)
    places = torch.arange(_POSITIONS)[None, None].expand(3, 1, -1)
    with torch.inference_mode():
        made = talker.model(inputs_embeds=embedded, position_ids=places, use_cache=False)
        narrow = talker.code_predictor.config.hidden_size
        talker.code_predictor.model(inputs_embeds=embedded[:, :2, :narrow], use_cache=False)
    return made.last_hidden_state


# -- Kokoro ---------------------------------------------------------------------------------------------


def _build_kokoro(folder: Path, is_random: bool) -> Any:
    import torch

    from voiced.engines import kokoro_model

    config = json.loads((folder / "config.json").read_text())
    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.device("cpu" if is_random else "meta"):
        # As the engine does it: a network that neither asks the hub nor wants spaCy.
        model = kokoro_model.network()(repo_id="local", config=config, model=nothing)
    if not is_random:
        model.bert.pooler = None
    return model


def _plain(name: str) -> str:
    return name.replace(".module.", ".", 1)


def _finish_kokoro(model: Any) -> None:
    import torch
    from torch import nn

    places = model.bert.config.max_position_embeddings
    model.bert.embeddings.position_ids = torch.arange(places).expand((1, -1))
    model.bert.embeddings.token_type_ids = torch.zeros((1, places), dtype=torch.long)
    transform = model.decoder.generator.stft
    transform.window = torch.hann_window(transform.win_length, periodic=True)
    for module in model.modules():
        if isinstance(module, nn.InstanceNorm1d) and module.weight.is_meta:
            module.weight = nn.Parameter(torch.ones(module.num_features))
            module.bias = nn.Parameter(torch.zeros(module.num_features))


def _forward_kokoro(model: Any) -> Any:
    import torch

    with torch.inference_mode():
        torch.manual_seed(0)
        return model.forward_with_tokens(torch.arange(_POSITIONS)[None], torch.zeros(1, 256), 1.0)[0]


_CASES: Mapping[str, Case] = {
    "qwen3-tts": Case(
        file=lambda folder: folder / "model.safetensors",
        build=_build_qwen,
        rename=lambda name: name,
        finish=_finish_qwen,
        forward=_forward_qwen,
        engine="qwen3-tts",
        precision="bf16",
        held=lambda engine: engine._wrapper.model,
        last_step=1,
    ),
    "kokoro": Case(
        file=lambda folder: next(iter(sorted(folder.glob("kokoro-v*.safetensors")))),
        build=_build_kokoro,
        rename=_plain,
        finish=_finish_kokoro,
        forward=_forward_kokoro,
        engine="kokoro",
        precision="fp32",
        held=lambda engine: engine._loaded.model,
        last_step=1,
    ),
}


if __name__ == "__main__":
    main()
