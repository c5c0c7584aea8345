"""Figures as a table that can go into a document as it is, and what processes have used."""

from collections.abc import Iterable, Sequence

import psutil


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


def seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


def cpu_seconds(*pids: int) -> float:
    """Return the CPU time that these processes and their children have used so far."""
    processes = [psutil.Process(pid) for pid in pids]
    family = [each for process in processes for each in (process, *process.children(True))]
    return sum(sum(each.cpu_times()[:2]) for each in family)
