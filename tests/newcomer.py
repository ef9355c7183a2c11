"""Does what the README tells a newcomer: its lines, word for word, on a fresh copy, with nothing but Python.

The lines are the fenced block after `<!-- run -->`; the last one starts the development server, and is given `--check`
here, so that it makes its own requests and ends. pip builds the wheel and installs it into a fresh virtual environment.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^<!-- run -->\n+```\w*\n(?P<lines>.+?)\n```$", re.MULTILINE | re.DOTALL)
OURS = ("COVERAGE_", "PYTHON", "TOX_", "UV_", "VIRTUAL_ENV")
"""Beginnings of what the test environment sets and a newcomer has not."""


def main() -> None:
    """Run the lines in a copy, and end as they end."""
    lines = read_lines(ROOT / "README.md")
    with tempfile.TemporaryDirectory() as folder:
        copy_checkout(Path(folder))
        done = subprocess.run(["bash", "-euxo", "pipefail", "-c", lines], check=False, cwd=folder, env=environment())
    sys.exit(done.returncode)


def read_lines(readme: Path) -> str:
    """Read the newcomer's lines; the last one starts the server."""
    block = BLOCK.search(readme.read_text(encoding="utf-8"))
    if block is None:
        sys.exit("README.md has no fenced block after <!-- run -->")
    return f"{block['lines']} --check"


def copy_checkout(folder: Path) -> None:
    """Copy what a clone would bring: the files that git knows or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def environment() -> dict[str, str]:
    """Give the environment of the caller, without the virtual environments that run this file."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    folders = inherited["PATH"].split(os.pathsep)
    return inherited | {"PATH": os.pathsep.join(folder for folder in folders if not is_virtual(Path(folder)))}


def is_virtual(folder: Path) -> bool:
    """Whether these are the commands of a virtual environment."""
    return (folder.parent / "pyvenv.cfg").is_file()


if __name__ == "__main__":
    main()
