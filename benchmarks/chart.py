"""The picture of `python -m benchmarks jwt`: one panel per algorithm, one bar per contestant, as a small SVG."""

# ruff: noqa: PLC0415  # matplotlib may be missing

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.report import RESULTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

_INK, _QUIET = "#24292f", "#6e7781"
_OURS, _RAW, _PEERS = "#0b7a75", "#24292f", "#c4cad0"


def draw(figures: Mapping[str, Mapping[str, float]], machine: Mapping[str, str]) -> None:
    """Write `benchmarks/results/jwt.svg`, or say that matplotlib is not installed."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("no chart: matplotlib is not installed")
        return
    mpl.use("svg")
    from matplotlib import pyplot as plt

    # Text stays text: the file is smaller, and the reader's own font is sharper.
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "asgi-bearer",
        "font.family": "sans-serif",
        "font.size": 9,
    }
    with mpl.rc_context(style):
        names = list(dict.fromkeys(name for found in figures.values() for name in found))
        figure, axes = plt.subplots(
            1, len(figures), figsize=(2.6 + 1.75 * len(figures), 0.9 + 0.3 * len(names)), squeeze=False, sharey=True
        )
        for ax, (algorithm, found) in zip(axes[0], figures.items(), strict=True):
            _panel(ax, algorithm, names, found)
        figure.suptitle("Microseconds per request above the unprotected app (less is better)", color=_INK, fontsize=11)
        note = f"{machine['python']} ({machine['build']}), {machine['cpu']}"
        figure.text(0.995, 0.01, note, ha="right", color=_QUIET, fontsize=7)
        figure.tight_layout(rect=(0, 0.03, 1, 1), w_pad=1.2)
        RESULTS.mkdir(exist_ok=True)
        figure.savefig(RESULTS / "jwt.svg", facecolor="white", metadata={"Date": None})
        plt.close(figure)


def _panel(ax: Axes, algorithm: str, names: list[str], found: Mapping[str, float]) -> None:
    widths = [found.get(name, 0.0) for name in names]
    ax.barh(names, widths, color=[_colour(name) for name in names], height=0.68)
    for position, name in enumerate(names):
        text = f"{found[name]:.0f}" if found.get(name, 0) >= 99.5 else f"{found[name]:.1f}" if name in found else "—"
        ax.annotate(
            text,
            (found.get(name, 0.0), position),
            (3, 0),
            textcoords="offset points",
            va="center",
            color=_INK,
            fontsize=8,
        )
    ax.set_title("Ed25519" if algorithm == "EdDSA" else algorithm, color=_INK, fontsize=10)
    ax.set_xlim(0, max(widths) * 1.3)
    ax.set_xticks([])
    ax.tick_params(axis="y", length=0, labelcolor=_INK)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.spines["left"].set_color(_QUIET)
    if not ax.yaxis_inverted():
        ax.invert_yaxis()


def _colour(name: str) -> str:
    if name.startswith("asgi-bearer"):
        return _OURS
    return _RAW if name.startswith("raw") else _PEERS
