"""Whose turn it is at a child, and who was told to stop."""

import functools

from voiced.workers.tasks import Frame, Tasks

DONE: Frame = ({"type": "done"}, b"")
SOUND: Frame = ({"type": "audio"}, b"abcd")


def test_a_task_in_the_queue_begins_when_one_before_it_ends() -> None:
    tasks, told = Tasks(), list[str]()
    tasks.slots = 2
    made = [tasks.add(functools.partial(told.append, name)) for name in "abcd"]
    assert told == ["a", "b"]
    assert not tasks.take(made[1].number, SOUND)
    assert told == ["a", "b"]
    assert tasks.take(made[1].number, DONE)
    assert told == ["a", "b", "c"]
    assert tasks.take(made[0].number, DONE)
    assert told == ["a", "b", "c", "d"]
    assert len(tasks) == 2
    assert made[0] not in tasks
    assert made[3] in tasks


def test_one_that_waits_behind_a_cancelled_one_is_not_stuck() -> None:
    now = [100.0]
    tasks = Tasks(lambda: now[0])
    first, second = tasks.add(lambda: None), tasks.add(lambda: None)
    assert tasks.cancel(second)
    assert not tasks.cancel(second)  # it was told
    now[0] = 109.0
    assert tasks.stuck_s() == 0
    tasks.take(first.number, DONE)
    now[0] = 111.5
    assert tasks.stuck_s() == 2.5
    tasks.take(second.number, DONE)
    assert tasks.stuck_s() == 0
    assert not tasks.cancel(second)  # nothing is left to stop


def test_frames_wait_for_whoever_reads_them_also_after_the_end() -> None:
    tasks = Tasks()
    task, lost = tasks.add(lambda: None), tasks.add(lambda: None)
    for frame in (SOUND, DONE):
        tasks.take(task.number, frame)
    tasks.take(task.number, SOUND)  # after its end: nobody's
    tasks.lose()
    assert [task.frames.get_nowait() for _ in range(task.frames.qsize())] == [SOUND, DONE]
    assert lost.frames.get_nowait() is None
    assert len(tasks) == 0
