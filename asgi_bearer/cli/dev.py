"""`asgi-bearer dev`: a protected application and the issuer of its tokens, to try things out. Floor 7."""

from __future__ import annotations

import importlib
import logging
import operator
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import urlsplit

import anyio
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from asgi_bearer.cli import sample
from asgi_bearer.cli.door import protect, verifier_of
from asgi_bearer.cli.failure import Failure
from asgi_bearer.cli.page.app import Page, Protected
from asgi_bearer.cli.probes import Outcome, Probe, Probes, ask_all
from asgi_bearer.cli.serving import address, listen, serve
from asgi_bearer.errors import require_scope_token
from asgi_bearer.testing.issuer import Issuer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

_PORT, _ISSUER_PORT = 8000, 9000
_WIDTH_OF_A_LOG = 110
_WARNING = "FOR DEVELOPMENT ONLY: this issuer gives tokens to whoever asks. It listens on 127.0.0.1; keep it there."


def dev(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="MODULE:APP",
            help="Your ASGI application, such as main:app, found from this folder; a sample if left out.",
            show_default=False,
        ),
    ] = None,
    *,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help=f"Where the application listens: {_PORT}, with --check a free port."),
    ] = None,
    issuer_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help=f"Where the issuer listens: {_ISSUER_PORT}, with --check a free port."),
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="A scope that every request must have; may be given more than once.", show_default=False),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Make the requests, print what was expected and got; exit 0 or 1.")
    ] = False,
) -> None:
    r"""Protect an application with tokens of a development issuer, and print curl lines to try it with.

    Ctrl-C ends it, with exit code 0. Never for production.

    Examples:
      asgi-bearer dev
      asgi-bearer dev main:app --scope read
      asgi-bearer dev --check
    """
    required = _read_scopes(scope or [])
    app = sample.app if target is None else load(target)
    ports = _choose(port, _PORT, check=check), _choose(issuer_port, _ISSUER_PORT, check=check)
    with listen(ports[0], "--port") as at, listen(ports[1], "--issuer-port") as issuer_at:
        issuer = Issuer(address(issuer_at), audience=address(at))
        stage = _set_up(issuer, address(at), required, target)
        verifier = verifier_of(issuer, stage.app.url)
        door = protect(app, verifier, scopes=required, public=sample.PUBLIC if target is None else ())
        apps = [(Page(issuer, stage.app), issuer_at), (door, at)]
        if check:
            raise typer.Exit(0 if serve(apps, stage.check, verifier.aclose) else 1)
        with _refusals_shown():
            serve(apps, stage.show, verifier.aclose)


def _choose(port: int | None, default: int, *, check: bool) -> int:
    if port is not None:
        return port
    return 0 if check else default


def _read_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    for scope in scopes:
        try:
            require_scope_token(scope)
        except ValueError as error:
            raise Failure(f"--scope: {error}") from None
    return tuple(dict.fromkeys(scopes))


def load(target: str) -> Callable[..., Any]:
    """Return the application that `target`, MODULE:APP, names; the current folder is looked into first.

    Raises `Failure` where there is none. What the module itself raises is its author's to read, and passes.
    """
    module_name, _, attributes = target.partition(":")
    if not all(name.isidentifier() for name in (*module_name.split("."), *attributes.split("."))):
        raise Failure(f"{target!r} is not MODULE:APP: write main:app for the variable app in main.py")
    sys.path.insert(0, str(Path.cwd()))
    app = _attribute(_module(module_name), module_name, attributes)
    if not callable(app):
        raise Failure(f"{target} is no ASGI application, but a value of type {type(app).__name__}")
    return app


def _module(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The name of a package above counts as well; any other name is an import within the module.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
    raise Failure(f"there is no module {name}: run this in the folder that holds it, or install it")


def _attribute(module: object, module_name: str, attributes: str) -> object:
    try:
        return operator.attrgetter(attributes)(module)
    except AttributeError:
        pass
    raise Failure(
        f"the module {module_name} has no {attributes}: write the name of the variable that holds the application"
    )


class Stage(NamedTuple):
    """What runs, and what can be tried on it."""

    issuer: Issuer
    app: Protected
    probes: Sequence[Probe]

    async def show(self) -> None:
        """Print the curl lines, and wait for the end."""
        # Plainly and unwrapped: the lines are made to be copied.
        typer.echo("\n".join([*self._introduce(), *(line for probe in self.probes for line in _describe(probe))]))
        await anyio.sleep_forever()

    def _introduce(self) -> list[str]:
        client_id, secret = next(iter(self.issuer.clients.items()))
        form = ["grant_type=client_credentials", f"resource={self.app.url}", f"scope={' '.join(self.app.scopes)}"]
        data = [word for parameter in form for word in ("--data-urlencode", parameter)]
        new_token = ["curl", "-s", "-u", f"{client_id}:{secret}", *data, f"{self.issuer.url}/token"]
        return [
            f"# {_WARNING}",
            f"# {self.app.url} is {self.app.name}, {self.issuer.url} the issuer. Ctrl-C ends both.",
            f"# {self.issuer.url}/ in a browser: make tokens, call the application, see its answers explained",
            "",
            "# a new token; with -d token_format=opaque an opaque one",
            shlex.join(new_token),
        ]

    async def check(self) -> bool:
        """Make the requests, print what they got, and tell whether all of it was expected."""
        outcomes = await ask_all(self.probes)
        console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else _WIDTH_OF_A_LOG)
        console.print(f"{_WARNING}\n", soft_wrap=True)
        console.print(_table(self.app.name, outcomes))
        failed = [outcome for outcome in outcomes if not outcome.passed]
        for probe, got in failed:
            wanted, found = probe.expected.in_full(), got if isinstance(got, str) else got.in_full()
            console.print(f"{probe.name}\n  expected: {wanted}\n  got:      {found}", soft_wrap=True)
        console.print(f"{len(outcomes) - len(failed)} of {len(outcomes)} as expected", soft_wrap=True)
        return not failed


def _set_up(issuer: Issuer, url: str, required: tuple[str, ...], target: str | None) -> Stage:
    probes = Probes(issuer, url, required)
    if target is None:
        scopes = (*required, *sample.SCOPES)
        app = Protected(name="the sample application", url=url, scopes=scopes, paths=sample.PATHS)
        return Stage(issuer, app, probes.of_sample(sample.SCOPES))
    return Stage(issuer, Protected(name=target, url=url, scopes=required), probes.of_application())


def _describe(probe: Probe) -> list[str]:
    challenge = [] if probe.expected.challenge is None else [f"# WWW-Authenticate: {probe.expected.challenge}"]
    return ["", f"# {probe.name}: {probe.expected}", *challenge, probe.curl()]


def _table(title: str, outcomes: Sequence[Outcome]) -> Table:
    table = Table("request", "", "expected", "got", "", title=title, box=SIMPLE)
    for outcome in outcomes:
        path, verdict = urlsplit(outcome.probe.url).path, "ok" if outcome.passed else "FAILED"
        row = (f"GET {path}", outcome.probe.name, str(outcome.probe.expected), str(outcome.got), verdict)
        table.add_row(*row, style=None if outcome.passed else "bold red")
    return table


@contextmanager
def _refusals_shown() -> Generator[None]:
    """Show the door's log, which says why a request was refused, on stderr."""
    log, handler = logging.getLogger("asgi_bearer"), logging.StreamHandler()
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
