"""The commands by name: one module each. Floor 7."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from typer.main import get_command

from asgi_bearer.cli.dev import dev

if TYPE_CHECKING:
    from collections.abc import Sequence

# A traceback shows no local variables: they hold tokens.
_commands = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
_commands.command()(dev)


@_commands.callback()
def _describe() -> None:
    """Bearer tokens for ASGI applications: tools for development."""


def run(arguments: Sequence[str] | None) -> None:
    """Run the command that `arguments` name; the process's own where they are None."""
    get_command(_commands)(args=arguments, prog_name="asgi-bearer")
