"""The IntelligentDeviceSelector: on which device each loaded model should run, and why.

`decide` is pure: one decision for one model from the load, where it is, the policy and its history. The rules stand in
`rules`; here is what keeps them from flapping: a wish must last for several samples, 60 s pass between two switches,
and load switches a model at most 6 times an hour. A person's lock and a lost GPU wait for none of it, but to go back
to a GPU that was lost also takes 60 s.
"""

import logging
import math
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from voiced.devices.gpu import GpuState
from voiced.devices.load import LoadSample
from voiced.devices.rules import Placement, Policy, Rule, Wish, is_gpu, wish_of
from voiced_ipc.messages import DecisionInfo

logger = logging.getLogger(__name__)

KEPT_DECISIONS = 200

_RELIEVING = (Rule.LOCKED, Rule.GPU_LOST, Rule.GPU_BUSY, Rule.VRAM_FULL, Rule.MEMORY_FULL)
"""For these an idle model is unloaded: that gives somebody something back."""
_AT_ONCE = (Rule.LOCKED, Rule.GPU_LOST)


class History(NamedTuple):
    """What a model's next decision must know of those before."""

    switches_s: tuple[float, ...] = ()
    """Monotonic times of the switches by load within the rate window."""
    last_switch_s: float = -math.inf
    lost_s: float = -math.inf
    """When it last left a GPU that was lost."""
    wanted: str = ""
    wanted_samples: int = 0
    """Samples in a row that wanted it there."""
    sample_s: float = -math.inf
    """The last sample counted."""


class Decision(NamedTuple):
    """Where a model should run."""

    model: str
    device: str
    """Where it should be now: `wanted` if it is to move or to be loaded, else where it is."""
    should_switch: bool
    rule: Rule
    reason: str
    wanted: str
    """Where it would be but for settling, dwell and rate."""
    should_unload: bool = False
    """It is idle and in somebody's way: unload it; its next load is decided anew."""


def decide(
    sample: LoadSample, placement: Placement, policy: Policy, history: History | None = None
) -> Decision:
    """Return where a model should run.

    Args:
        sample: The load now.
        placement: The model.
        policy: What holds for all.
        history: What was decided before, by `advance`; None = nothing.
    """
    wish = wish_of(sample, placement, policy)
    if not placement.device:
        return _decision(placement, wish, wish.device)
    if wish.device == placement.device:
        return _decision(placement, wish, placement.device)
    history = _counted(history or History(), wish.device, sample)
    held = _held(sample, placement, policy, history, wish)
    if held is not None:
        return _decision(placement, held, placement.device)._replace(wanted=wish.device)
    if placement.is_idle:
        if wish.rule in _RELIEVING:
            return _decision(placement, wish, placement.device)._replace(should_unload=True)
        idle = wish._replace(rule=Rule.IDLE, reason=f"idle, {wish.reason} counts when it is loaded again")
        return _decision(placement, idle, placement.device)
    return _decision(placement, wish, wish.device)._replace(should_switch=True)


def advance(history: History, decision: Decision, sample: LoadSample, policy: Policy) -> History:
    """Return the history after a decision."""
    now = sample.monotonic_s
    history = _counted(history, decision.wanted, sample)
    if not decision.should_switch:
        return history
    switches = tuple(at for at in history.switches_s if now - at < policy.rate_window_s)
    if decision.rule not in _AT_ONCE:
        switches = (*switches, now)
    return history._replace(
        switches_s=switches,
        last_switch_s=now,
        lost_s=now if decision.rule is Rule.GPU_LOST else history.lost_s,
        wanted="",
        wanted_samples=0,
    )


def needs_gpu_reading(sample: LoadSample, placement: Placement, policy: Policy) -> bool:
    """Return whether a GPU should be woken and read before this model is loaded for the first time.

    A GPU that has slept since the start is listed, and nobody knows how large it is. A load that may use it wakes it
    anyway.
    """
    if placement.device or not placement.has_gpu_path or policy.lock == "cpu":
        return False
    return not sample.is_gpu_read or any(
        gpu.memory_total_bytes is None and gpu.state is not GpuState.LOST and gpu.device != "mps"
        for gpu in sample.gpus
    )


def _decision(placement: Placement, wish: Wish, device: str) -> Decision:
    return Decision(placement.model, device, False, wish.rule, wish.reason, wish.device)


def _counted(history: History, wanted: str, sample: LoadSample) -> History:
    """A sample counts once, however often it is decided on."""
    if history.wanted != wanted:
        return history._replace(wanted=wanted, wanted_samples=1, sample_s=sample.monotonic_s)
    if sample.monotonic_s <= history.sample_s:
        return history
    return history._replace(wanted_samples=history.wanted_samples + 1, sample_s=sample.monotonic_s)


def _held(
    sample: LoadSample, placement: Placement, policy: Policy, history: History, wish: Wish
) -> Wish | None:
    """Why a wish is not yet granted; None where it is."""
    now = sample.monotonic_s
    since_s = max(placement.since_s, history.last_switch_s)
    if wish.rule in _AT_ONCE:
        since_s = history.lost_s if wish.rule is Rule.LOCKED and is_gpu(wish.device) else -math.inf
    else:
        needed = policy.return_samples if wish.rule is Rule.GPU_FREE else policy.settle_samples
        if history.wanted_samples < needed:
            seen = f"{wish.reason}, sample {history.wanted_samples} of {needed}"
            return Wish(placement.device, Rule.SETTLING, seen)
    if now - since_s < policy.dwell_s:
        left = policy.dwell_s - (now - since_s)
        return Wish(placement.device, Rule.DWELL, f"{wish.reason}, not before {left:.0f} s")
    if wish.rule not in _AT_ONCE:
        recent = [at for at in history.switches_s if now - at < policy.rate_window_s]
        if len(recent) >= policy.max_switches:
            often = f"{wish.reason}, but {len(recent)} switches in {policy.rate_window_s / 60:.0f} minutes"
            return Wish(placement.device, Rule.RATE_LIMIT, often)
    return None


# -- with memory --------------------------------------------------------------------------------------


class LoggedDecision(NamedTuple):
    """A decision as it is remembered; the same one again is counted, not kept twice."""

    decision: Decision
    sample: LoadSample
    first: datetime
    """Aware UTC; the last time is the sample's."""
    times: int

    def to_info(self) -> DecisionInfo:
        """Return it as the protocol tells it."""
        again = f" ({self.times} times since {self.first:%H:%M:%S} UTC)" if self.times > 1 else ""
        return DecisionInfo(
            taken=self.sample.taken.isoformat(timespec="milliseconds"),
            model=self.decision.model,
            device=self.decision.device,
            should_switch=self.decision.should_switch,
            rule=self.decision.rule.value,
            reason=self.decision.reason + again,
            load=self.sample.to_info(),
        )


class IntelligentDeviceSelector:
    """Decides for each model with its history, and remembers the last decisions.

    Args:
        policy: What holds for all decisions; may be set anew at any time.
        kept: How many decisions are remembered.
    """

    def __init__(self, policy: Policy | None = None, *, kept: int = KEPT_DECISIONS) -> None:
        self._policy = Policy()
        self._histories: dict[str, History] = {}
        self._log: deque[LoggedDecision] = deque(maxlen=kept)
        self.set_policy(policy or Policy())

    @property
    def policy(self) -> Policy:
        """What holds for all decisions."""
        return self._policy

    def set_policy(self, policy: Policy) -> None:
        """Take another policy; a changed lock is logged."""
        if policy.lock != self._policy.lock:
            if policy.lock == "auto":
                logger.info("device: chosen by load again, the lock on %s is gone", self._policy.lock)
            else:
                logger.info("device: locked to %s, load moves nothing", policy.lock)
        self._policy = policy

    def consider(self, sample: LoadSample, placement: Placement) -> Decision:
        """Return the decision for one model, and remember it."""
        return self.consider_all(sample, [placement])[0]

    def consider_all(self, sample: LoadSample, placements: Iterable[Placement]) -> list[Decision]:
        """Return a decision for each model, in their order; load moves at most one of them at a time."""
        made = []
        is_taken = False
        for placement in placements:
            history = self._histories.get(placement.model, History())
            decision = decide(sample, placement, self._policy, history)
            if decision.should_switch and decision.rule not in _AT_ONCE:
                if is_taken:
                    decision = _in_turn(decision, placement)
                is_taken = True
            self._histories[placement.model] = advance(history, decision, sample, self._policy)
            self._remember(decision, sample, placement)
            made.append(decision)
        return made

    def forget(self, model: str) -> None:
        """Drop the history of a model that was removed."""
        self._histories.pop(model, None)

    def decisions(self, limit: int = KEPT_DECISIONS) -> list[DecisionInfo]:
        """Return the last decisions, the newest first."""
        newest = sorted(self._log, key=lambda logged: logged.sample.taken)[::-1]
        return [logged.to_info() for logged in newest[:limit]]

    def _remember(self, decision: Decision, sample: LoadSample, placement: Placement) -> None:
        for place in range(len(self._log) - 1, -1, -1):
            logged = self._log[place]
            if logged.decision.model == decision.model:
                if _is_same(logged.decision, decision):
                    self._log[place] = LoggedDecision(decision, sample, logged.first, logged.times + 1)
                    return
                break
        self._log.append(LoggedDecision(decision, sample, sample.taken, 1))
        if decision.should_switch or decision.should_unload:
            goes = decision.device if decision.should_switch else "unloaded"
            logger.info("%s: %s -> %s: %s", decision.model, placement.device, goes, decision.reason)
        elif decision.rule is Rule.FIRST:
            logger.info("%s: to be loaded on %s: %s", decision.model, decision.device, decision.reason)
        else:
            logger.debug("%s: on %s: %s: %s", decision.model, *_words(decision))


def _words(decision: Decision) -> tuple[str, str, str]:
    return decision.device, decision.rule.value, decision.reason


def _in_turn(decision: Decision, placement: Placement) -> Decision:
    return decision._replace(
        device=placement.device,
        should_switch=False,
        rule=Rule.IN_TURN,
        reason=f"{decision.reason}, after another model",
    )


def _is_same(old: Decision, new: Decision) -> bool:
    """Only the figures differ."""
    return not new.should_switch and old._replace(reason="") == new._replace(reason="")
