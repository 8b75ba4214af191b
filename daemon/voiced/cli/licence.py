"""The licence of a model's weights: shown before they come, and confirmed where it is not for everybody."""

import sys

from voiced.cli.exits import CommandFailed, Exit
from voiced.models.spec import ModelSpec

_YES = ("y", "yes")


def confirm_licence(spec: ModelSpec, accepted: bool) -> None:
    """Show under which licence a model's weights stand; a non-commercial one must be accepted.

    Args:
        spec: The model.
        accepted: Whether the user has accepted it with --accept-licence: nothing is asked then.

    Raises:
        CommandFailed: If it is not accepted, or nobody can be asked.
    """
    if not spec.is_noncommercial:
        print(f"voiced: {spec.model}: licence of the weights: {spec.licence}", file=sys.stderr)
        return
    print(
        f"voiced: {spec.model}: licence of the weights: {spec.licence}. They, and what is spoken with them, are not "
        "for commercial use.",
        file=sys.stderr,
    )
    if accepted:
        return
    if not sys.stdin.isatty():
        raise CommandFailed(
            f"{spec.model} needs your word that you accept {spec.licence}: add --accept-licence", Exit.DATA
        )
    print("Do you accept this licence? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in _YES:
        raise CommandFailed("the licence was not accepted: nothing was changed", Exit.DATA)
