"""Runs the benchmarks: `make bench`; with --large, `make bench-large`; with --listeners, `make bench-listeners`."""

import argparse
import logging

from benchmarks import comparison, growth, listeners
from benchmarks.load import wrk


def main() -> None:
    """Run the benchmark that the arguments choose."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--large", action="store_true", help="compare 1 M tasks and 10 M entries with a thousandth of that"
    )
    parser.add_argument(
        "--listeners", type=int, nargs="?", const=1000, help="measure so many listeners of GET /events (default: 1,000)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how many times everything is measured (default: 3)")
    parser.add_argument("--seconds", type=int, default=2, help="how long each measurement takes (default: 2)")
    parser.add_argument("--tasks", type=int, help="how many tasks there are (default: 10,000, with --large 1,000,000)")
    parser.add_argument(
        "--only",
        type=lambda names: names.split(","),
        default=[],
        metavar="NAME,…",
        help="parts of names that limit what is measured: of sides and kinds of work, or, with --large, of sections",
    )
    given = parser.parse_args()
    wrk()
    # Migrations and the like log; the results are printed.
    logging.disable(logging.WARNING)
    if given.listeners:
        listeners.run(given.listeners, given.tasks or 10_000, given.rounds, given.seconds)
        return
    run, tasks = (growth.run, 1_000_000) if given.large else (comparison.run, 10_000)
    run(tasks=given.tasks or tasks, rounds=given.rounds, seconds=given.seconds, only=given.only)


if __name__ == "__main__":
    main()
