"""What a menu entry does, as a value, and which request of the protocol that is. Pure."""

from enum import Enum
from typing import NamedTuple

from voiced_ipc import messages as m


class ActionKind(Enum):
    """What a click asks for."""

    LOCK = "lock"
    LOCK_UNTIL_LOGOUT = "lock-until-logout"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    UNLOAD = "unload"
    READ_CLIPBOARD = "read-clipboard"
    STOP_READING = "stop-reading"
    OPEN_FOLDER = "open-folder"
    START = "start"
    RESTART = "restart"
    QUIT = "quit"


class Action(NamedTuple):
    """A click, ready to be carried out."""

    kind: ActionKind
    target: str = ""
    """A device, a job, a model or a folder, as the kind needs it."""
    for_s: float | None = None
    """How long a lock holds, in seconds; None = until it is set again."""


def request_for(action: Action, own_pid: int) -> m.Request | None:
    """Return the request that carries out `action`; None where the daemon is not asked.

    Args:
        action: What was clicked.
        own_pid: The tray's process, whose end the session's end brings about.
    """
    request_id = m.new_id()
    match action.kind:
        case ActionKind.LOCK:
            return m.SetDeviceLock(request_id=request_id, device=action.target, for_s=action.for_s)
        case ActionKind.LOCK_UNTIL_LOGOUT:
            return m.SetDeviceLock(request_id=request_id, device=action.target, until_pid=own_pid)
        case ActionKind.PAUSE:
            return m.Pause(request_id=request_id)
        case ActionKind.RESUME:
            return m.Resume(request_id=request_id)
        case ActionKind.CANCEL:
            return m.Cancel(request_id=request_id, job_id=action.target)
        case ActionKind.RETRY:
            return m.RetryJob(request_id=request_id, job_id=action.target)
        case ActionKind.UNLOAD:
            return m.UnloadModel(request_id=request_id, model=action.target)
    return None
