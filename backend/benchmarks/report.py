"""The output of the benchmarks."""

import math
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

# Wide enough for the widest table if the output is not a terminal.
console = Console(width=None if os.isatty(1) else 150)


@contextmanager
def progress() -> Iterator[Progress]:
    """Show progress bars until the block is left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        yield bars


def machine() -> str:
    """Describe the machine in one line."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{psutil.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, {platform.system()},"
        f" Python {platform.python_version()}; load generator, service and PostgreSQL share them."
    )


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column names its rows."""
    shown = Table(*columns[:1], title=title, title_justify="left")
    for column in columns[1:]:
        shown.add_column(column, justify="right")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def spread(values: Sequence[float]) -> str:
    """Return the median of `values` and, if there are several, the least and the greatest."""
    among = f" ({number(min(values))}–{number(max(values))})" if len(values) > 1 else ""  # noqa: RUF001  # A range.
    return number(median(values)) + among


def ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the ratios of all rounds; the ratio to zero is infinity."""
    return median(value / other if other else math.inf for value, other in zip(values, others, strict=True))


def number(value: float) -> str:
    """Return `value` with up to three significant digits, or, from 100 on, as a whole number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
