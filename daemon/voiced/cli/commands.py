"""The table of commands: which file holds each, and what it does in a line."""

from typing import NamedTuple


class Command(NamedTuple):
    """Where a command lives; its own file is imported only when it is the one asked for."""

    module: str
    """A module of `voiced.cli` whose `PARTS` holds it."""
    summary: str


COMMANDS: dict[str, Command] = {
    "say": Command("say", "speak a text, or write it to a sound file"),
    "drop": Command("drop", "make audio files of documents"),
    "status": Command("status", "show what the daemon does"),
    "jobs": Command("jobs", "list jobs"),
    "job": Command("jobs", "show one job"),
    "cancel": Command("jobs", "end jobs"),
    "pause": Command("jobs", "hold jobs, or the whole daemon"),
    "resume": Command("jobs", "go on with jobs, or with the whole daemon"),
    "retry": Command("jobs", "go on with failed jobs where they stopped"),
    "voices": Command("voices", "list the voices"),
    "models": Command("models", "list the models"),
    "load": Command("models", "load a model ahead of its first use"),
    "unload": Command("models", "give the memory of models back"),
    "pull": Command("pull", "fetch a model from the hub"),
    "import": Command("library", "install a model from files of yours"),
    "rm": Command("library", "remove models from this computer"),
    "engine": Command("engine", "install the packages that a family of models needs"),
    "voice": Command("voice", "make voices from recordings, list and remove them"),
    "lexicon": Command("lexicon", "say how single words are spoken"),
    "cache": Command("cache", "show and empty the caches"),
    "tips": Command("tips", "show what helps: voices, texts, emotion, speed, this machine"),
    "lock": Command("device", "say on which device everything runs"),
    "device": Command("device", "show which device is used, and why"),
    "run": Command("run", "run the daemon in the foreground"),
    "start": Command("daemon", "start the daemon in the background, or the installed service"),
    "stop": Command("daemon", "stop the daemon; unfinished files go on after its next start"),
    "restart": Command("daemon", "stop the daemon and start it again"),
    "reload": Command("daemon", "make the daemon read its settings again"),
    "config": Command("settings", "show the settings, or an example of their file"),
    "service": Command("service", "start voiced with your login, or no longer"),
    "tray": Command("tray", "show the tray icon"),
    "demo": Command("demo", "show that everything works, in a daemon of its own"),
    "completion": Command("completion", "print the completion script of a shell"),
    "version": Command("version", "print the versions"),
}
