"""The command `asgi-bearer`, of the extra `cli`. Floor 7."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from asgi_bearer.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_EXTRA = ("rich", "typer", "uvicorn")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with `arguments`, those of the process by default, and exit as it says.

    Exit codes: 0 done, or ended by Ctrl-C or SIGTERM; 1 a check failed, or something the user can mend; 2 wrong usage.
    """
    try:
        from asgi_bearer.cli.commands import run  # noqa: PLC0415  # only here may the extra be missing
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.exit("asgi-bearer: the command needs the extra `cli`: pip install 'asgi-bearer[cli]'")
    try:
        run(arguments)
    except Failure as failure:
        sys.exit(f"asgi-bearer: {failure}")
