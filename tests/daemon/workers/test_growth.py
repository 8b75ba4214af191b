"""When a worker has grown too much."""

from voiced.workers.growth import FACTOR, LEARNT_TASKS, LEAST_BYTES, Growth

MIB = 1 << 20


def after(sizes: list[int]) -> Growth:
    growth = Growth()
    for size in sizes:
        growth = growth.after(size)
    return growth


def test_what_it_takes_at_first_is_its_baseline() -> None:
    growth = after([100 * MIB * n for n in range(1, LEARNT_TASKS + 1)])
    assert growth.baseline_bytes == growth.peak_bytes == 100 * MIB * LEARNT_TASKS
    assert not growth.is_too_great


def test_a_small_worker_may_grow_by_a_least_amount() -> None:
    growth = after([40 * MIB] * LEARNT_TASKS)
    assert not growth.after(40 * MIB + LEAST_BYTES).is_too_great
    assert growth.after(41 * MIB + LEAST_BYTES).is_too_great


def test_a_great_one_by_half() -> None:
    growth = after([4000 * MIB] * LEARNT_TASKS)
    assert not growth.after(int(4000 * MIB * FACTOR)).is_too_great
    assert growth.after(int(4001 * MIB * FACTOR)).is_too_great


def test_what_went_back_is_no_growth() -> None:
    assert not after([100 * MIB] * LEARNT_TASKS + [9000 * MIB, 100 * MIB]).is_too_great
