"""What the page offers to try with one press: a token of each kind, and requests without a good one. Floor 7."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_ELSEWHERE = "https://other.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A button: what it is called, and what it shows.

    `token` is what the form of a token says other than it does at first, None where there is no token to be made;
    `authorization` is the header's value then, None for no such header.
    """

    label: str
    shows: str
    token: dict[str, Any] | None = field(default_factory=dict)
    authorization: str | None = None


def presets(scopes: Sequence[str]) -> list[Preset]:
    """Return the presets for an application that asks for `scopes`; without any, there is none to be missing."""
    found = [
        Preset(label="Good token", shows="signed, with all it takes"),
        Preset(label="Opaque token", shows="the door asks the issuer", token={"format": "opaque"}),
        Preset(label="No token", shows="a plain challenge", token=None),
        Preset(label="Two words", shows="a malformed header", token=None, authorization="Bearer two words"),
        Preset(label="Garbage", shows="a token that is none", token=None, authorization="Bearer not.a.token"),
        Preset(label="Expired", shows="it ended ten minutes ago", token={"expired": True}),
        Preset(label="Tampered", shows="a changed signature", token={"tampered": True}),
        Preset(label="Wrong audience", shows="it is for another server", token={"audience": _ELSEWHERE}),
        Preset(label="Revoked", shows="taken back by the issuer", token={"format": "opaque", "revoked": True}),
    ]
    if scopes:
        lacking = {"scopes": " ".join(scopes[1:])}
        found.append(Preset(label="Missing scope", shows=f"without {scopes[0]}", token=lacking))
    return found
