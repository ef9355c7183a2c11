"""`python -m benchmarks jwt | server | memory | keys | introspection`."""

# ruff: noqa: PLC0415  # each benchmark is imported alone, and only what it needs

from __future__ import annotations

import argparse
import warnings

from benchmarks.tokens import ALGORITHMS


def main() -> None:
    # joserfc warns of the name EdDSA, which is what issuers write.
    warnings.filterwarnings("ignore", module="joserfc")
    options = _parse()
    if options.benchmark == "jwt":
        from benchmarks import jwt

        jwt.run(options.algorithms, options.rounds)
    elif options.benchmark == "server":
        from benchmarks import server

        server.run(options.rounds, options.seconds)
    elif options.benchmark == "keys":
        from benchmarks import keys

        keys.run()
    elif options.benchmark == "introspection":
        from benchmarks import introspection

        introspection.run(options.rounds)
    else:
        from benchmarks import memory

        memory.run(options.count)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the package costs.")
    commands = parser.add_subparsers(dest="benchmark", required=True)
    jwt = commands.add_parser("jwt", help="microseconds above the bare app, beside the raw signature check and peers")
    jwt.add_argument("--rounds", type=int, default=15)
    jwt.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=ALGORITHMS, metavar="ALG")
    server = commands.add_parser("server", help="requests per second through uvicorn; needs wrk and two cores")
    server.add_argument("--rounds", type=int, default=5)
    server.add_argument("--seconds", type=int, default=3, help="of each contestant in each round")
    memory = commands.add_parser("memory", help="resident memory while a million tokens pass")
    memory.add_argument("--count", type=int, default=1_000_000)
    commands.add_parser("keys", help="what becomes of good requests when keys are cold, rotated, or cannot be had")
    introspection = commands.add_parser("introspection", help="what opaque tokens cost here and at the endpoint")
    introspection.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
