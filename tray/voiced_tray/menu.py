"""`TrayState` to menu entries. Pure: `app` makes pystray's items of them, and a test reads them as they are."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from voiced_ipc import messages as m
from voiced_tray import words
from voiced_tray.actions import Action, ActionKind
from voiced_tray.state import DeviceChoice, Link, TrayState

MAX_LINES = 3
"""Jobs and problems that are shown one by one: a menu must fit on a small screen."""
MAX_LINE_CHARS = 90
LOCK_HOURS = (1, 2)


class EntryKind(Enum):
    """What an entry looks like."""

    ITEM = "item"
    RADIO = "radio"
    SUBMENU = "submenu"
    SEPARATOR = "separator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the menu."""

    label: str = ""
    kind: EntryKind = EntryKind.ITEM
    action: Action | None = None
    """None = a line to be read."""
    is_checked: bool = False
    """Of a radio entry."""
    is_enabled: bool = True
    children: tuple["Entry", ...] = ()


SEPARATOR = Entry(kind=EntryKind.SEPARATOR)


def build_menu(state: TrayState, now: datetime) -> tuple[Entry, ...]:
    """Return the whole menu.

    Args:
        state: What is known.
        now: The moment, in the zone that times are shown in.
    """
    parts = (_head(state, now), _control(state, now), _folders(state), _daemon(state))
    entries: list[Entry] = []
    for part in parts:
        entries += [*([SEPARATOR] if entries and part else []), *part]
    return tuple(entries)


def _line(text: str) -> Entry:
    return Entry(label=words.short(text, MAX_LINE_CHARS), is_enabled=False)


def _item(label: str, kind: ActionKind, target: str = "", *, is_enabled: bool = True) -> Entry:
    return Entry(label=label, action=Action(kind, target), is_enabled=is_enabled)


def _submenu(label: str, children: list[Entry]) -> Entry:
    return Entry(label=label, kind=EntryKind.SUBMENU, children=tuple(children))


def _head(state: TrayState, now: datetime) -> list[Entry]:
    entries = [_line(words.status_line(state, now))]
    if state.link is Link.SILENT and state.detail:
        entries.append(_line(state.detail))
    if state.trouble:
        entries.append(_line(f"Not done: {state.trouble}"))
    broken = [
        f"{model.model} is broken: {model.detail}" if model.detail else f"{model.model} is broken"
        for model in state.models
        if model.state is m.ModelState.BROKEN
    ]
    problems = [*broken, *state.problems]
    entries += [_line(f"! {problem}") for problem in problems[:MAX_LINES]]
    if len(problems) > MAX_LINES:
        entries.append(_line(f"! and {len(problems) - MAX_LINES} more: voiced doctor"))
    entries += [_line(words.job_line(job)) for job in state.jobs[:MAX_LINES]]
    more = state.running + state.waiting - min(len(state.jobs), MAX_LINES)
    if state.jobs and more > 0:
        entries.append(_line(f"and {more} more"))
    return entries


def _control(state: TrayState, now: datetime) -> list[Entry]:
    reading = _reading(state)
    if state.link is not Link.ONLINE:
        return [reading]
    entries = [_device_menu(state, now)]
    loaded = [model for model in state.models if model.state is m.ModelState.LOADED]
    if loaded:
        entries.append(_submenu("Loaded models", [_unload(model) for model in loaded]))
    if state.is_paused:
        entries.append(_item("Resume", ActionKind.RESUME))
    else:
        entries.append(_item("Pause", ActionKind.PAUSE))
    job = state.current_job
    if job:
        entries.append(_item(f"Cancel {words.short(job.name)}", ActionKind.CANCEL, job.job_id))
    else:
        entries.append(_item("Cancel current job", ActionKind.CANCEL, is_enabled=False))
    if state.failed_job:
        label = f"Try again: {words.short(state.failed_job.name)}"
        entries.append(_item(label, ActionKind.RETRY, state.failed_job.job_id))
    return [*entries, reading]


def _reading(state: TrayState) -> Entry:
    if state.is_reading:
        return _item("Stop reading aloud", ActionKind.STOP_READING)
    if state.clipboard_hint:
        return _line(f"Read clipboard aloud ({state.clipboard_hint})")
    return _item("Read clipboard aloud", ActionKind.READ_CLIPBOARD)


def _unload(model: m.ModelInfo) -> Entry:
    size = f", {round(model.rss_bytes / 2**20)} MB" if model.rss_bytes else ""
    place = f" on {words.device_name(model.device)}" if model.device else ""
    return _item(f"Unload {model.model}{place}{size}", ActionKind.UNLOAD, model.model)


def _device_menu(state: TrayState, now: datetime) -> Entry:
    lock = state.lock
    choices = [DeviceChoice("auto", ""), DeviceChoice("cpu", ""), *state.devices]
    if all(choice.device != lock.device for choice in choices):
        choices.append(DeviceChoice(lock.device, ""))  # locked by somebody to what is not here
    entries = [_device(choice, is_checked=choice.device == lock.device) for choice in choices]
    entries.append(SEPARATOR)
    for hours in LOCK_HOURS:
        label = f"CPU for {hours} hour{'s' if hours > 1 else ''}"
        entries.append(Entry(label=label, action=Action(ActionKind.LOCK, "cpu", hours * 3600.0)))
    entries.append(_item("CPU until I log out or quit the tray", ActionKind.LOCK_UNTIL_LOGOUT, "cpu"))
    told = []
    if lock.device != "auto":
        end = words.lock_end(state, now) or " until it is changed"
        told.append(_line(f"Locked to {words.device_name(lock.device)}{end}"))
    if state.switch:
        told.append(_line(f"Last switch: {state.switch}"))
    return _submenu(
        f"Device: {words.device_name(lock.device)}", [*entries, *([SEPARATOR] if told else []), *told]
    )


def _device(choice: DeviceChoice, *, is_checked: bool) -> Entry:
    name = words.device_name(choice.device)
    label = f"{name[:1].upper()}{name[1:]}" + (f" ({words.short(choice.name)})" if choice.name else "")
    return Entry(
        label=label,
        kind=EntryKind.RADIO,
        action=Action(ActionKind.LOCK, choice.device),
        is_checked=is_checked,
    )


def _folders(state: TrayState) -> list[Entry]:
    folders = (("Audio", state.audio_folder), ("Drop", state.drop_folder), ("Failed", state.failed_folder))
    return [
        _item(f"Open {name} folder", ActionKind.OPEN_FOLDER, path, is_enabled=bool(path))
        for name, path in folders
    ]


def _daemon(state: TrayState) -> list[Entry]:
    entries = []
    if state.link is Link.OFFLINE:
        entries.append(_item("Start daemon", ActionKind.START))
    elif state.link is Link.SILENT:
        entries.append(_item("Restart daemon", ActionKind.RESTART))
    elif state.is_outdated:
        label = f"Restart daemon (daemon {state.version}, installed {state.installed})"
        entries.append(_item(label, ActionKind.RESTART))
    return [*entries, _item("Quit tray", ActionKind.QUIT)]
