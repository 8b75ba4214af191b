"""Whatever the load does, a model does not flap."""

import itertools
from collections.abc import Iterable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.daemon.devices.fakes import GB, gpu, sample
from voiced.devices.gpu import GpuLoad, GpuState
from voiced.devices.load import LoadSample
from voiced.devices.rules import Placement, Policy, Rule
from voiced.devices.selector import Decision, IntelligentDeviceSelector

CALM = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""Machines under load are slow."""

shares = st.floats(0, 1) | st.sampled_from([0.0, 0.6, 0.600001, 0.75, 0.85, 0.850001, 0.9, 0.900001, 1.0])


@st.composite
def drawn_policies(draw: st.DrawFn) -> Policy:
    return Policy(
        settle_samples=draw(st.integers(1, 3)),
        return_samples=draw(st.integers(1, 6)),
        max_switches=draw(st.integers(1, 6)),
        dwell_s=draw(st.sampled_from([0.5, 5.0, 60.0])),
        rate_window_s=draw(st.sampled_from([60.0, 600.0, 3600.0])),
        is_unified_memory=draw(st.booleans()),
    )


@st.composite
def drawn_placements(draw: st.DrawFn) -> Placement:
    return Placement(
        model="m",
        device=draw(st.sampled_from(["cpu", "cuda:0"])),
        needs_vram_bytes=draw(st.integers(0, 10 * GB)),
        needs_memory_bytes=draw(st.integers(0, 10 * GB)),
        min_vram_gb=draw(st.sampled_from([0.0, 6.0])),
    )


policies = drawn_policies()
placements = drawn_placements()
steps = st.floats(0.01, 90)
states = st.sampled_from([GpuState.AWAKE, GpuState.AWAKE, GpuState.ASLEEP, GpuState.UNKNOWN])


@st.composite
def gpus(draw: st.DrawFn, number: int = 0, allowed: st.SearchStrategy[GpuState] = states) -> GpuLoad:
    return gpu(
        draw(shares),
        own=draw(st.none() | shares),
        vram=draw(shares),
        total_gb=draw(st.sampled_from([4.0, 6.0, 8.0, 24.0])),
        number=number,
        state=draw(allowed),
    )


@st.composite
def loads(draw: st.DrawFn, allowed: st.SearchStrategy[GpuState] = states, least: int = 1) -> LoadSample:
    found = [draw(gpus(number, allowed)) for number in range(draw(st.integers(least, 2)))]
    return sample(0.0, *found, cpu=draw(shares), own_cpu=draw(shares), memory=draw(shares))


trace = st.lists(st.tuples(steps, loads(least=2)), min_size=1, max_size=60)
"""Both GPUs are always there: one that vanishes is left at once, whatever dwell and rate say."""


def play(
    policy: Policy, placement: Placement, taken: Iterable[tuple[float, LoadSample]]
) -> list[tuple[float, Decision]]:
    """Let a daemon obey every decision, and return them with their times."""
    selector = IntelligentDeviceSelector(policy)
    now, made = 1000.0, []
    for step, load in taken:
        now += step
        decision = selector.consider(load._replace(monotonic_s=now), placement)
        assert decision.should_switch == (decision.device != placement.device)
        if decision.should_switch:
            placement = placement._replace(device=decision.device, since_s=now)
        made.append((now, decision))
    return made


def switches(made: list[tuple[float, Decision]]) -> list[float]:
    return [now for now, decision in made if decision.should_switch]


@given(policies, placements, trace)
@CALM
def test_never_two_switches_within_the_dwell_time(
    policy: Policy, placement: Placement, taken: list[tuple[float, LoadSample]]
) -> None:
    at = switches(play(policy, placement, taken))
    assert all(later - earlier >= policy.dwell_s for earlier, later in itertools.pairwise(at))


@given(policies, placements, trace)
@CALM
def test_never_more_switches_than_the_rate(
    policy: Policy, placement: Placement, taken: list[tuple[float, LoadSample]]
) -> None:
    at = switches(play(policy, placement, taken))
    for start in at:
        assert len([now for now in at if 0 <= now - start < policy.rate_window_s]) <= policy.max_switches


@given(
    policies,
    placements,
    trace,
    st.sampled_from(["cpu", "cuda", "cuda:0", "cuda:1"]),
)
@CALM
def test_a_lock_is_never_left(
    policy: Policy, placement: Placement, taken: list[tuple[float, LoadSample]], lock: str
) -> None:
    made = play(policy._replace(lock=lock), placement, taken)
    assert all(decision.device.startswith(lock) for _, decision in made)
    assert len(switches(made)) <= 1


@given(policies, placements, loads(), steps)
@CALM
def test_a_constant_load_leads_to_at_most_one_switch(
    policy: Policy, placement: Placement, load: LoadSample, step: float
) -> None:
    made = play(policy, placement, [(step, load)] * 100)
    assert len(switches(made)) <= 1


@given(policies, placements, loads(), steps)
@CALM
def test_an_adversary_that_loads_whatever_is_used_gains_nothing(
    policy: Policy, placement: Placement, load: LoadSample, step: float
) -> None:
    """The load follows the model: its device is always the busy one."""
    selector = IntelligentDeviceSelector(policy)
    now, at = 1000.0, []
    for _ in range(120):
        now += step
        on_gpu = placement.device != "cpu"
        taken = sample(
            now, gpu(1.0 if on_gpu else 0.0, total_gb=24.0), cpu=0.0 if on_gpu else 1.0, memory=0.1
        )
        decision = selector.consider(taken, placement)
        if decision.should_switch:
            placement = placement._replace(device=decision.device, since_s=now)
            at.append(now)
    assert all(later - earlier >= policy.dwell_s for earlier, later in itertools.pairwise(at))
    for start in at:
        assert len([one for one in at if 0 <= one - start < policy.rate_window_s]) <= policy.max_switches


@given(policies, placements, st.lists(st.tuples(steps, loads(states | st.just(GpuState.LOST))), max_size=60))
@CALM
def test_a_gpu_that_comes_and_goes_is_not_returned_to_within_the_dwell_time(
    policy: Policy, placement: Placement, taken: list[tuple[float, LoadSample]]
) -> None:
    left_s = None
    for now, decision in play(policy, placement, taken):
        if decision.should_switch and decision.rule is not Rule.GPU_LOST:
            assert left_s is None or now - left_s >= policy.dwell_s
        if decision.should_switch:
            left_s = now


@given(policies, placements, loads(states | st.just(GpuState.LOST)))
@CALM
def test_an_engine_without_a_gpu_path_never_moves(
    policy: Policy, placement: Placement, load: LoadSample
) -> None:
    made = play(policy, placement._replace(device="cpu", has_gpu_path=False), [(5.0, load)] * 10)
    assert {decision.rule for _, decision in made} == {Rule.NO_GPU_PATH}


@given(policies, placements, loads(states | st.just(GpuState.LOST)))
@CALM
def test_a_gpu_without_room_is_never_entered(policy: Policy, placement: Placement, load: LoadSample) -> None:
    for _, decision in play(policy, placement, [(100.0, load)] * 10):
        if decision.should_switch and decision.device != "cpu":
            entered = load.gpu(decision.device)
            assert entered is not None
            assert (entered.free_memory_bytes or 0) >= placement.needs_vram_bytes
            assert (entered.memory_total_bytes or 0) >= placement.min_vram_gb * GB
            assert entered.state in (GpuState.AWAKE, GpuState.ASLEEP)
