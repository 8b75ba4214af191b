"""The environment of children, by table."""

import pytest

from voiced.workers.environment import child_environment

BASE = {"PATH": "/bin", "HOME": "/home/someone", "NOTIFY_SOCKET": "/run/n", "LISTEN_FDS": "3"}


@pytest.mark.parametrize(
    ("base", "device", "expected"),
    [
        (
            {},
            "cpu",
            {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "PYTORCH_ENABLE_MPS_FALLBACK": "0"},
        ),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "cpu", {"CUDA_VISIBLE_DEVICES": ""}),
        ({}, "mps", {"CUDA_VISIBLE_DEVICES": "", "PYTORCH_ENABLE_MPS_FALLBACK": "1"}),
        ({}, "mps", {"PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.0", "PYTORCH_MPS_NO_FORK": "1"}),
        ({}, "cuda", {"CUDA_VISIBLE_DEVICES": None, "PYTORCH_ENABLE_MPS_FALLBACK": "0"}),
        ({}, "cuda:1", {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
        ({"CUDA_VISIBLE_DEVICES": "2,3"}, "cuda", {"CUDA_VISIBLE_DEVICES": "2,3"}),
        ({"CUDA_VISIBLE_DEVICES": "2, 3"}, "cuda:1", {"CUDA_VISIBLE_DEVICES": "3"}),
        ({"CUDA_VISIBLE_DEVICES": "GPU-abc"}, "cuda:0", {"CUDA_VISIBLE_DEVICES": "GPU-abc"}),
        # What the user hid stays hidden.
        ({"CUDA_VISIBLE_DEVICES": "2"}, "cuda:1", {"CUDA_VISIBLE_DEVICES": ""}),
        ({"CUDA_VISIBLE_DEVICES": ""}, "cuda:0", {"CUDA_VISIBLE_DEVICES": ""}),
        ({}, "cuda:0", {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:128"}),
        (
            {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"},
            "cuda:0",
            {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"},
        ),
        ({}, "cpu", {"PYTORCH_CUDA_ALLOC_CONF": None, "PYTORCH_MPS_HIGH_WATERMARK_RATIO": None}),
        ({}, "cpu", {"MallocStackLogging": "0", "MallocStackLoggingNoCompact": "1", "MallocScribble": "0"}),
        ({}, "cpu", {"MallocPreScribble": "0", "MallocGuardEdges": "0"}),
        ({}, "cpu", {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}),
        ({}, "cpu", {"OMP_WAIT_POLICY": "passive"}),
        ({"OMP_WAIT_POLICY": "active"}, "cpu", {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_variables(base: dict[str, str], device: str, expected: dict[str, str | None]) -> None:
    made = child_environment(BASE | base, device=device, threads=4)
    assert {name: made.get(name) for name in expected} == expected


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_threads(name: str) -> None:
    assert child_environment(BASE, device="cpu", threads=3)[name] == "3"
    assert name not in child_environment(BASE, device="cpu", threads=0)
    assert child_environment({name: "7"}, device="cpu", threads=0)[name] == "7"


def test_the_rest_passes_and_the_daemons_own_does_not() -> None:
    base = dict(BASE)
    made = child_environment(base, device="cpu", threads=1)
    assert made["PATH"] == "/bin"
    assert not {"NOTIFY_SOCKET", "LISTEN_FDS"} & set(made)
    assert base == BASE


def test_mps_and_quiet_can_be_said() -> None:
    made = child_environment(BASE, device="cpu", threads=1, is_mps=True, quiet=False)
    assert made["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"
    assert "TRANSFORMERS_VERBOSITY" not in made
