"""Coverage-guided fuzzing of the whole door: whatever stands in the request, the answer is 200, 400, 401 or 403.

    python tests/fuzz/fuzz_door.py -max_total_time=60

It starts from the cases of `test_fuzz_cases.py`. An exception that gets out of the door, or another status, stops the
run and leaves the input in a file; it then becomes a case there.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["asgi_bearer", "json"]):
    from fuzz.door import answer_to

from fuzz.test_fuzz_cases import CASES


def one_input(data: bytes) -> None:
    """Send one request."""
    answer_to(data)


def main() -> None:
    """Fuzz as the command line says, from the known cases on."""
    with tempfile.TemporaryDirectory() as corpus:
        for number, (data, _) in enumerate(CASES.values()):
            Path(corpus, str(number)).write_bytes(data)
        atheris.Setup([*sys.argv, corpus], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
