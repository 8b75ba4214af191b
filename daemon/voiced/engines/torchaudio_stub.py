"""torchaudio without its compiled part, which its last release links against one CUDA version of torch.

On any other torch `import torchaudio` fails on a missing shared object, and with it everything that imports it.
What voices need of it (filter banks, resampling, spectrograms) is plain Python on torch: with a stand-in for its
submodule `_extension` the package as installed works. Files are read with soundfile: `torchaudio.load` does not work.

Imported by engines whose packages import torchaudio, before those; nobody else.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

_NAME = "torchaudio._extension"
_Function = TypeVar("_Function", bound=Callable[..., Any])


def install() -> None:
    """Put the stand-in where torchaudio looks for its compiled part; a second call does nothing."""
    if _NAME in sys.modules:
        return
    stub: Any = ModuleType(_NAME)
    stub.__path__ = []
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = stub._IS_ALIGN_AVAILABLE = False
    stub._check_cuda_version = _do_nothing
    stub.lazy_import_sox_ext = _do_nothing
    stub.fail_if_no_align = _pass
    sys.modules[_NAME] = stub


def _do_nothing() -> None:
    """There is no compiled part to look at."""


def _pass(function: _Function) -> _Function:
    """Decorators of what needs the compiled part: calling it fails then, importing it does not."""
    return function
