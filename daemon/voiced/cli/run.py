"""`voiced run`: the daemon itself, in the foreground."""

from typing import TYPE_CHECKING

from voiced.cli.exits import CommandFailed, Exit
from voiced.cli.part import Part

if TYPE_CHECKING:
    import argparse


def _declare_run(parser: "argparse.ArgumentParser") -> None:
    from voiced.cli.speech import device

    parser.add_argument("--device", metavar="DEVICE", type=device, help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="any setting of `voiced config --example`; may be given again",
    )
    parser.add_argument(
        "--foreground", action="store_true", help="taken and ignored: it always stays in the foreground"
    )


def _run_run(options: "argparse.Namespace") -> int:
    overrides = overrides_of(options)
    from voiced.app import run

    return run(overrides)


def overrides_of(options: "argparse.Namespace") -> dict[str, object]:
    """Return the settings that the command line gives.

    Raises:
        CommandFailed: If one is not KEY=VALUE, or no such setting.
    """
    from voiced.config.keys import KEYS

    overrides: dict[str, object] = {}
    for pair in options.settings:
        name, equals, value = pair.partition("=")
        table, _, key = name.strip().rpartition(".")
        if not equals:
            raise CommandFailed(f"--set {pair}: write KEY=VALUE", Exit.USAGE)
        if key not in KEYS or table not in ("", KEYS[key].table):
            raise CommandFailed(
                f"--set {pair}: there is no setting {name!r}; `voiced config --example` lists them",
                Exit.USAGE,
            )
        overrides[key] = value.strip()
    given = {"device": options.device, "log_level": options.log_level}
    return overrides | {key: value for key, value in given.items() if value is not None}


PARTS = {
    "run": Part(
        _declare_run,
        _run_run,
        (
            "voiced run",
            "voiced run --device cpu",
            "voiced run --set keep_alive_s=60 --set drop_enabled=false",
        ),
        "It stays in the foreground; `voiced service install` starts it with your login.",
        bare={"device": None, "log_level": None, "settings": [], "foreground": False},
    ),
}
