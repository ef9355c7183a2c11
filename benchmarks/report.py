"""How every benchmark reports: on which machine it ran, which bars it reached, and the figures as JSON."""

from __future__ import annotations

import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"


class Bar(NamedTuple):
    """A figure that is to be reached: at most, or at least, the bound."""

    name: str
    value: float
    bound: float
    at_least: bool = False
    unit: str = "x"

    @property
    def reached(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        sign, verdict = ">=" if self.at_least else "<=", "reached" if self.reached else "MISSED"
        return f"{self.name:<52} {self.value:8.2f}{self.unit}  {sign} {self.bound:g}{self.unit}  {verdict}"


def describe_machine() -> dict[str, str]:
    """Return what a figure means nothing without."""
    ours = ("asgi-bearer", "cryptography", "starlette", "joserfc", "uvicorn")
    packages = (*ours, "pyjwt", "fastmcp", "mcp", "jwks-client")
    return {
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "build": ", ".join([*platform.python_build(), platform.python_compiler()]),
        "packages": ", ".join(f"{name} {version}" for name in packages if (version := _version(name))),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def print_machine(machine: dict[str, str]) -> None:
    for name, value in machine.items():
        print(f"{name + ':':<10}{value}")
    print()


def print_bars(bars: list[Bar]) -> None:
    for bar in bars:
        print(bar)
    sys.stdout.flush()


def write_figures(name: str, figures: dict[str, Any], bars: list[Bar]) -> None:
    """Write `benchmarks/results/<name>.json`."""
    RESULTS.mkdir(exist_ok=True)
    rounded = [{**bar._asdict(), "value": round(bar.value, 3), "reached": bar.reached} for bar in bars]
    text = json.dumps({**figures, "bars": rounded}, indent=2, ensure_ascii=False)
    RESULTS.joinpath(f"{name}.json").write_text(text + "\n", encoding="utf-8")
