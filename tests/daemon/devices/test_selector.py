import logging

import pytest

from tests.daemon.devices.fakes import GB, gpu, sample
from voiced.devices.gpu import GpuLoad, GpuState
from voiced.devices.load import LoadSample
from voiced.devices.rules import Placement, Policy, Rule
from voiced.devices.selector import (
    Decision,
    History,
    IntelligentDeviceSelector,
    advance,
    decide,
    needs_gpu_reading,
)

NOW = Policy(settle_samples=1, return_samples=1)
"""Decides on the first sample."""
ON_GPU = Placement("qwen3-tts:0.6b", "cuda:0", needs_vram_bytes=3 * GB, needs_memory_bytes=4 * GB)
ON_CPU = ON_GPU._replace(device="cpu")
UNLOADED = ON_GPU._replace(device="")


def taken(decision: Decision) -> tuple[str, bool, Rule]:
    return decision.device, decision.should_switch, decision.rule


# -- the scenarios of the sources ----------------------------------------------------------------------


def test_a_game_takes_the_gpu() -> None:
    decision = decide(sample(0, gpu(0.92), cpu=0.35), ON_GPU, NOW)
    assert taken(decision) == ("cpu", True, Rule.GPU_BUSY)
    assert "GPU at 92.0 %" in decision.reason


def test_the_cpu_is_full_and_the_gpu_free() -> None:
    decision = decide(sample(0, gpu(0.15), cpu=0.95), ON_CPU, NOW)
    assert taken(decision) == ("cuda:0", True, Rule.CPU_BUSY)
    assert "CPU at 95.0 %" in decision.reason


def test_locked_to_the_gpu_it_stays() -> None:
    decision = decide(sample(0, gpu(0.88), cpu=0.20), ON_GPU, NOW._replace(lock="cuda"))
    assert taken(decision) == ("cuda:0", False, Rule.LOCKED)


# -- each rule, at its border --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "placement", "expected"),
    [
        (sample(0, gpu(0.85)), ON_GPU, ("cuda:0", False, Rule.KEEP)),
        (sample(0, gpu(0.873)), ON_GPU, ("cpu", True, Rule.GPU_BUSY)),
        (sample(0, gpu(0.1, vram=0.90)), ON_GPU, ("cuda:0", False, Rule.KEEP)),
        (sample(0, gpu(0.1, vram=0.91)), ON_GPU, ("cpu", True, Rule.VRAM_FULL)),
        (sample(0, gpu(0.5), cpu=0.95, memory=0.95), ON_GPU, ("cuda:0", False, Rule.KEEP)),
        (sample(0, gpu(0.61), cpu=0.95), ON_CPU, ("cpu", False, Rule.KEEP)),
        (sample(0, gpu(0.60), cpu=0.91), ON_CPU, ("cuda:0", True, Rule.CPU_BUSY)),
        (sample(0, gpu(0.60), memory=0.86), ON_CPU, ("cuda:0", True, Rule.MEMORY_FULL)),
        (sample(0, gpu(0.60), cpu=0.90, memory=0.85), ON_CPU, ("cuda:0", True, Rule.GPU_FREE)),
        (sample(0, gpu(0.1, vram=0.76, total_gb=24), cpu=0.95), ON_CPU, ("cpu", False, Rule.KEEP)),
        (sample(0, gpu(0.1, vram=0.70, total_gb=8), cpu=0.95), ON_CPU, ("cpu", False, Rule.KEEP)),
        (sample(0, cpu=0.95), ON_CPU, ("cpu", False, Rule.NO_GPU)),
        (sample(0), ON_GPU, ("cpu", True, Rule.GPU_LOST)),
        (sample(0, gpu(state=GpuState.LOST)), ON_GPU, ("cpu", True, Rule.GPU_LOST)),
        (sample(0, gpu(state=GpuState.LOST), cpu=0.99), ON_CPU, ("cpu", False, Rule.KEEP)),
        (sample(0, gpu(0.92), gpu(0.2, number=1)), ON_GPU, ("cuda:1", True, Rule.GPU_BUSY)),
        (sample(0, gpu(0.92), gpu(0.7, number=1)), ON_GPU, ("cpu", True, Rule.GPU_BUSY)),
        (sample(0, gpu(0.99, own=0.95)), ON_GPU, ("cuda:0", False, Rule.KEEP)),
        (sample(0, gpu(0.99, own=None)), ON_GPU, ("cuda:0", False, Rule.KEEP)),
        (sample(0, gpu(0.1), cpu=0.99, own_cpu=0.5), ON_CPU, ("cuda:0", True, Rule.GPU_FREE)),
        (sample(0, gpu(0.9), memory=0.8), ON_GPU, ("cuda:0", False, Rule.NO_ROOM)),
        (sample(0, gpu(0.99), cpu=0.99), ON_CPU._replace(has_gpu_path=False), ("cpu", False, Rule.NO_GPU_PATH)),
    ],
)  # fmt: skip
def test_rules(load: LoadSample, placement: Placement, expected: tuple[str, bool, Rule]) -> None:
    assert taken(decide(load, placement, NOW)) == expected


def test_unknown_load_moves_nothing() -> None:
    unknown = gpu(None, state=GpuState.UNKNOWN)._replace(memory_used_bytes=None)
    assert taken(decide(sample(0, unknown), ON_GPU, NOW)) == ("cuda:0", False, Rule.GPU_UNKNOWN)
    assert taken(decide(sample(0, unknown, cpu=0.99), ON_CPU, NOW)) == ("cpu", False, Rule.KEEP)


def test_before_the_first_reading_nothing_is_lost() -> None:
    unread = sample(0)._replace(is_gpu_read=False)
    assert taken(decide(unread, ON_GPU, NOW)) == ("cuda:0", False, Rule.GPU_UNKNOWN)


def test_our_own_memory_is_no_load() -> None:
    full = gpu(0.1, vram=0.95)._replace(own_memory_bytes=8 * GB)
    assert not decide(sample(0, full), ON_GPU, NOW).should_switch


def test_apple_moves_by_load_but_not_for_the_memory_that_both_share() -> None:
    policy = NOW._replace(is_unified_memory=True)
    mps = GpuLoad(device="mps", number=0, state=GpuState.AWAKE, utilisation_fraction=0.92)
    on_mps = ON_GPU._replace(device="mps")
    assert taken(decide(sample(0, mps), on_mps, policy)) == ("cpu", True, Rule.GPU_BUSY)
    free = mps._replace(utilisation_fraction=0.1)
    assert taken(decide(sample(0, free, cpu=0.95), ON_CPU, policy)) == ("mps", True, Rule.CPU_BUSY)
    full = sample(0, free, memory=0.9)
    assert not decide(full, ON_CPU, policy).should_switch  # 1.6 GB are left, it needs 3
    assert decide(full, ON_CPU._replace(needs_vram_bytes=GB), policy).rule is Rule.GPU_FREE


# -- admission -----------------------------------------------------------------------------------------


def test_a_small_gpu_is_refused_with_figures() -> None:
    placement = UNLOADED._replace(min_vram_gb=6.0)
    decision = decide(sample(0, gpu(0.0, total_gb=4.29)), placement, NOW)
    assert taken(decision) == ("cpu", False, Rule.FIRST)
    assert "cuda:0 has 4.29 GB, the model needs 6.0 GB: the CPU is better" in decision.reason


def test_a_card_of_six_gigabytes_is_large_enough() -> None:
    placement = UNLOADED._replace(min_vram_gb=6.0, needs_vram_bytes=int(4.5 * GB))
    assert decide(sample(0, gpu(0.0, total_gb=6.44, vram=0.05)), placement, NOW).device == "cuda:0"


def test_free_memory_decides() -> None:
    decision = decide(sample(0, gpu(0.0, total_gb=8, vram=0.7)), UNLOADED, NOW)
    assert decision.device == "cpu"
    assert "2.40 GB free of 8.00 GB, the model needs 3.00 GB" in decision.reason


def test_the_first_device_is_the_gpu_with_the_most_room() -> None:
    load = sample(0, gpu(0.1, total_gb=8), gpu(0.1, total_gb=24, number=1), gpu(0.9, total_gb=80, number=2))
    assert taken(decide(load, UNLOADED, NOW)) == ("cuda:1", False, Rule.FIRST)


def test_a_forced_small_gpu_is_used_with_a_warning() -> None:
    placement = UNLOADED._replace(min_vram_gb=6.0)
    decision = decide(sample(0, gpu(0.0, total_gb=4.0)), placement, NOW._replace(lock="cuda"))
    assert taken(decision) == ("cuda:0", False, Rule.LOCKED)
    assert "although cuda:0 has 4.00 GB" in decision.reason


def test_a_gpu_that_was_never_read_is_read_before_it_is_used() -> None:
    asleep = gpu(0.0, state=GpuState.ASLEEP)._replace(memory_total_bytes=None)
    load = sample(0, asleep)
    assert needs_gpu_reading(load, UNLOADED, Policy())
    assert not needs_gpu_reading(load, UNLOADED, Policy(lock="cpu"))
    assert not needs_gpu_reading(load, UNLOADED._replace(has_gpu_path=False), Policy())
    assert not needs_gpu_reading(load, ON_CPU, Policy())
    assert not needs_gpu_reading(sample(0, gpu()), UNLOADED, Policy())
    assert "not known" in decide(load, UNLOADED, NOW).reason
    known = asleep._replace(memory_total_bytes=12 * GB)
    assert decide(sample(0, known), UNLOADED, NOW).device == "cuda:0"


# -- the lock ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lock", "device", "target"),
    [
        ("cpu", "cuda:0", "cpu"),
        ("cuda", "cpu", "cuda:1"),
        ("cuda", "cuda:0", "cuda:0"),
        ("cuda:0", "cuda:1", "cuda:0"),
        ("cuda:1", "cpu", "cuda:1"),
    ],
)
def test_a_lock_is_obeyed_at_once(lock: str, device: str, target: str) -> None:
    load = sample(1000, gpu(0.95, total_gb=8), gpu(0.95, total_gb=24, number=1), cpu=0.99)
    placement = ON_GPU._replace(device=device, since_s=999)
    busy = History(switches_s=(998, 998.5, 999, 999, 999, 999), last_switch_s=999)
    decision = decide(load, placement, Policy(lock=lock), busy)
    assert taken(decision) == (target, device != target, Rule.LOCKED)


def test_a_lock_moves_no_engine_without_a_gpu_path() -> None:
    placement = ON_CPU._replace(has_gpu_path=False)
    assert taken(decide(sample(0, gpu()), placement, Policy(lock="cuda"))) == ("cpu", False, Rule.NO_GPU_PATH)


def test_a_lost_gpu_is_served_by_the_cpu_and_taken_back_after_a_minute() -> None:
    policy = Policy(lock="cuda:0")
    selector = IntelligentDeviceSelector(policy)
    lost = selector.consider(sample(0, gpu(state=GpuState.LOST)), ON_GPU)
    assert taken(lost) == ("cpu", True, Rule.GPU_LOST)
    assert selector.consider(sample(5, gpu(state=GpuState.LOST)), ON_CPU).should_switch is False
    assert selector.consider(sample(30, gpu()), ON_CPU).rule is Rule.DWELL
    back = selector.consider(sample(60, gpu()), ON_CPU)
    assert taken(back) == ("cuda:0", True, Rule.LOCKED)


# -- against flapping ----------------------------------------------------------------------------------


def test_one_peak_moves_nothing() -> None:
    selector = IntelligentDeviceSelector()
    assert selector.consider(sample(100, gpu(0.99)), ON_GPU).rule is Rule.SETTLING
    assert selector.consider(sample(100, gpu(0.99)), ON_GPU).rule is Rule.SETTLING  # the same sample again
    assert selector.consider(sample(105, gpu(0.10)), ON_GPU).rule is Rule.KEEP
    assert selector.consider(sample(110, gpu(0.99)), ON_GPU).rule is Rule.SETTLING
    assert selector.consider(sample(115, gpu(0.99)), ON_GPU).should_switch


def test_it_goes_back_when_the_load_has_been_gone_for_a_while() -> None:
    selector = IntelligentDeviceSelector()
    rules = [selector.consider(sample(100 + 5 * n, gpu(0.05)), ON_CPU).rule for n in range(6)]
    assert rules == [Rule.SETTLING] * 5 + [Rule.GPU_FREE]


def test_a_minute_passes_between_two_switches() -> None:
    placement = ON_GPU._replace(since_s=100.0)
    early = decide(sample(159, gpu(0.99)), placement, NOW)
    assert taken(early) == ("cuda:0", False, Rule.DWELL)
    assert early.wanted == "cpu"
    assert decide(sample(160, gpu(0.99)), placement, NOW).should_switch


def test_load_moves_a_model_six_times_an_hour() -> None:
    history = History()
    switched = []
    for n in range(20):
        load = sample(100.0 * n, gpu(0.99)) if n % 2 == 0 else sample(100.0 * n, gpu(0.0))
        placement = ON_GPU if n % 2 == 0 else ON_CPU
        decision = decide(load, placement, NOW, history)
        history = advance(history, decision, load, NOW)
        switched.append(decision.should_switch)
    assert switched == [True] * 6 + [False] * 14
    late = sample(3600.0, gpu(0.99))
    assert decide(late, ON_GPU, NOW, history).should_switch  # the first is an hour ago
    assert "6 switches in 60 minutes" in decide(sample(3599.0, gpu(0.99)), ON_GPU, NOW, history).reason


def test_load_moves_one_model_at_a_time() -> None:
    selector = IntelligentDeviceSelector(NOW)
    other = ON_GPU._replace(model="chatterbox")
    first, second = selector.consider_all(sample(0, gpu(0.99)), [ON_GPU, other])
    assert taken(first) == ("cpu", True, Rule.GPU_BUSY)
    assert taken(second) == ("cuda:0", False, Rule.IN_TURN)
    assert selector.consider(sample(5, gpu(0.99)), other).should_switch


def test_a_lock_moves_all_at_once() -> None:
    selector = IntelligentDeviceSelector(Policy(lock="cpu"))
    made = selector.consider_all(sample(0, gpu()), [ON_GPU, ON_GPU._replace(model="chatterbox")])
    assert all(decision.should_switch for decision in made)


# -- idle models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "device", "lock", "should_unload"),
    [
        (sample(0, gpu(0.99)), "cuda:0", "auto", True),
        (sample(0, gpu(0.99), memory=0.95), "cuda:0", "auto", True),
        (sample(0, gpu(0.1)), "cuda:0", "cpu", True),
        (sample(0, gpu(0.1), memory=0.9), "cpu", "auto", True),
        (sample(0, gpu(0.1)), "cpu", "auto", False),
        (sample(0, gpu(0.1), cpu=0.95), "cpu", "auto", False),
    ],
)
def test_an_idle_model_is_unloaded_not_moved(
    load: LoadSample, device: str, lock: str, should_unload: bool
) -> None:
    placement = ON_GPU._replace(device=device, is_idle=True)
    decision = decide(load, placement, NOW._replace(lock=lock))
    assert not decision.should_switch
    assert decision.device == device
    assert decision.wanted != device
    assert decision.should_unload is should_unload


# -- memory and log ------------------------------------------------------------------------------------


def test_equal_decisions_are_folded_with_their_count() -> None:
    selector = IntelligentDeviceSelector()
    other = ON_CPU._replace(model="piper:en", has_gpu_path=False)
    for n in range(10):
        selector.consider_all(sample(5.0 * n, gpu(0.3 + n / 100)), [ON_GPU, other])
    selector.consider(sample(50.0, gpu(0.99)), ON_GPU)
    newest, piper, kept = selector.decisions()
    assert newest.rule == "settling"
    assert (piper.model, piper.rule) == ("piper:en", "no-gpu-path")
    assert kept.reason == "GPU at 39.0 %, VRAM at 10.0 % (10 times since 10:00:00 UTC)"
    assert kept.taken == "2026-11-20T10:00:45.000+00:00"
    assert kept.load is not None
    assert kept.load.gpus[0].utilisation_fraction == 0.39
    assert [info.rule for info in selector.decisions(1)] == ["settling"]


def test_the_last_two_hundred_are_kept() -> None:
    selector = IntelligentDeviceSelector()
    for n in range(500):
        selector.consider(sample(5.0 * n, gpu(0.99 if n % 2 else 0.1)), ON_GPU)
    kept = selector.decisions()
    assert len(kept) == 200
    assert kept[0].taken > kept[-1].taken


def test_switches_and_locks_are_logged_with_their_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="voiced.devices.selector")
    selector = IntelligentDeviceSelector(NOW)
    selector.consider(sample(0, gpu(0.92)), ON_GPU)
    selector.consider(sample(5, gpu(0.92)), ON_CPU)
    selector.set_policy(NOW._replace(lock="cuda"))
    selector.set_policy(NOW)
    selector.consider(sample(10, gpu(0, total_gb=4)), UNLOADED._replace(model="maya1", min_vram_gb=6))
    IntelligentDeviceSelector(Policy(lock="cpu"))
    assert [record.getMessage() for record in caplog.records] == [
        "qwen3-tts:0.6b: cuda:0 -> cpu: GPU at 92.0 %",
        "device: locked to cuda, load moves nothing",
        "device: chosen by load again, the lock on cuda is gone",
        "maya1: to be loaded on cpu: cuda:0 has 4.00 GB, the model needs 6.0 GB: the CPU is better",
        "device: locked to cpu, load moves nothing",
    ]


def test_a_removed_model_leaves_no_history() -> None:
    selector = IntelligentDeviceSelector(NOW)
    assert selector.consider(sample(0, gpu(0.92)), ON_GPU).should_switch
    assert selector.consider(sample(5, gpu(0.92)), ON_GPU).rule is Rule.DWELL
    selector.forget(ON_GPU.model)
    assert selector.consider(sample(10, gpu(0.92)), ON_GPU).should_switch
