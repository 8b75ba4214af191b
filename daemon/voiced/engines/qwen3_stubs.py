"""Stand-ins for what qwen-tts imports and never uses here: they save seconds of each start and 400 MB of packages.

- its 25 Hz speech tokenizer, which no published model of ours has, wants onnxruntime, sox, torchaudio and einops;
- librosa (with numba, scipy and scikit-learn) gives it a mel filter bank, made here the same, and reads files, which
  no engine of ours lets it do.

Imported by `qwen3_load`; nobody else.
"""

import importlib
from typing import TYPE_CHECKING

import numpy as np

from voiced.engines.stand_ins import stood_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOKENIZER_25HZ = "qwen_tts.core.tokenizer_25hz.modeling_qwen3_tts_tokenizer_v1"

# Slaney's mel scale (Auditory Toolbox, 1998), librosa's default: linear below 1 kHz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3
_LOG_FROM_HZ = 1000.0
_LOG_FROM_MEL = _LOG_FROM_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def import_package() -> None:
    """Import qwen-tts with the stand-ins in place; takes seconds the first time.

    Raises:
        ImportError: If the engine family is not installed.
    """
    librosa = {"librosa": {}, "librosa.filters": {"mel": mel_filters}}
    with stood_in({**librosa, _TOKENIZER_25HZ: {"Qwen3TTSTokenizerV1Model": _Tokenizer25Hz}}):
        importlib.import_module("qwen_tts")


class _Tokenizer25Hz:
    """Never made: no model of ours names it."""


def mel_filters(*, sr: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> "NDArray[np.float32]":
    """Return what `librosa.filters.mel` returns: triangular filters of unit area, shape [n_mels, n_fft // 2 + 1].

    Args:
        sr: Sample rate in Hz.
        n_fft: Samples of a window.
        n_mels: Number of filters.
        fmin: Lowest frequency in Hz.
        fmax: Highest.
    """
    edges = _to_hz(np.linspace(_to_mel(fmin), _to_mel(fmax), n_mels + 2))
    ramps = np.subtract.outer(edges, np.fft.rfftfreq(n_fft, 1.0 / sr))
    widths = np.diff(edges)[:, None]
    triangles = np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:])
    filters: NDArray[np.float32] = np.maximum(0, triangles).astype(np.float32)
    filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return filters


def _to_mel(hz: float) -> float:
    if hz < _LOG_FROM_HZ:
        return hz / _HZ_PER_MEL
    return _LOG_FROM_MEL + float(np.log(hz / _LOG_FROM_HZ)) / float(_LOG_STEP)


def _to_hz(mels: "NDArray[np.float64]") -> "NDArray[np.float64]":
    logarithmic = _LOG_FROM_HZ * np.exp(_LOG_STEP * (mels - _LOG_FROM_MEL))
    return np.where(mels < _LOG_FROM_MEL, _HZ_PER_MEL * mels, logarithmic)
