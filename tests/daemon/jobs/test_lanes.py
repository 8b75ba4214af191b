"""Who makes way for whom."""

import pytest

from voiced.jobs.lanes import MOST_TIMES, PATIENCE_S, AtWork, makes_way
from voiced_ipc.messages import Lane

LONG = AtWork(Lane.BATCH, PATIENCE_S + 1, can_cancel=True, made_way=0)


@pytest.mark.parametrize(
    ("at_work", "waiting", "expected"),
    [
        (LONG, Lane.INTERACTIVE, True),
        (LONG, Lane.NORMAL, True),
        (LONG, Lane.BATCH, False),
        (LONG._replace(lane=Lane.NORMAL), Lane.INTERACTIVE, True),
        (LONG._replace(lane=Lane.INTERACTIVE), Lane.INTERACTIVE, False),
        (LONG._replace(lane=Lane.INTERACTIVE), Lane.BATCH, False),
        (LONG._replace(rest_s=PATIENCE_S), Lane.INTERACTIVE, False),
        (LONG._replace(can_cancel=False), Lane.INTERACTIVE, False),
        (LONG._replace(made_way=MOST_TIMES - 1), Lane.INTERACTIVE, True),
        (LONG._replace(made_way=MOST_TIMES), Lane.INTERACTIVE, False),
    ],
)
def test_the_higher_lane_waits_only_for_what_ends_soon(
    at_work: AtWork, waiting: Lane, expected: bool
) -> None:
    assert makes_way(at_work, waiting) is expected
