"""Looks for credentials in what must not hold them: log records, and the texts of exceptions, reprs and events."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# A signed token in compact form: base64url of '{"', and two dots
_COMPACT = re.compile(r"eyJ[\w-]{4,}\.[\w-]+\.[\w-]*")

_PLAIN = frozenset(vars(logging.makeLogRecord({})))


class Watch(logging.Handler):
    """Keeps the names of what showed a signed token, or one of `secrets`."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.secrets: set[str] = set()
        self.leaks: list[str] = []
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Look at all of the record: its text, traceback, arguments and extra fields."""
        extras = {name: value for name, value in vars(record).items() if name not in _PLAIN}
        texts = (self._formatter.format(record), repr(record.args), repr(extras))
        self.look(f"a record of {record.name}, {record.filename}:{record.lineno}", *texts)

    def look(self, where: str, *texts: str) -> None:
        """Remember `where` if one of `texts` shows a credential."""
        if any(_COMPACT.search(text) or any(secret in text for secret in self.secrets) for text in texts):
            self.leaks.append(where)


@contextmanager
def watched_logs(watch: Watch, *, everything: bool = False) -> Iterator[None]:
    """Let `watch` see all records of ours, and those of others that are logged (with `everything`, all)."""
    root, ours = logging.getLogger(), logging.getLogger("asgi_bearer")
    levels = root.level, ours.level
    root.addHandler(watch)
    root.setLevel(logging.DEBUG if everything else root.level)
    ours.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(watch)
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
