"""The order in which tests begin if several processes run them: those that take long first."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
#: The files whose tests take longest, and their seconds on a quiet machine. The figures are rough.
LONG = {
    "test_incident_drill.py": 170,
    "test_interrupts.py": 130,
    "test_traces.py": 80,
    "test_canary.py": 70,
    "test_pages_browser.py": 70,
    "test_sync_beside.py": 70,
    "test_health.py": 60,
    "test_stack.py": 60,
    "test_policies.py": 50,
    "test_flights.py": 50,
    "test_changes.py": 40,
    "test_live_times.py": 40,
    "test_feed_live.py": 40,
    "test_live_outcomes.py": 40,
    "test_flower.py": 35,
    "test_readme.py": 35,
    "test_report.py": 35,
    "test_sentinel.py": 30,
    "test_stops.py": 30,
    "test_overlap.py": 25,
    "test_comparison.py": 25,
    "test_cli_wait.py": 25,
    "test_policy_model.py": 20,
    "test_schedules_jitter.py": 20,
}


def deal(tests: Sequence[T], find_file: Callable[[T], str], processes: int) -> list[T]:
    """Return the tests in an order in which each process begins with long ones.

    pytest-xdist (`--dist worksteal`) gives each process an equal part of the tests, one part after
    the other. A process without tests takes the last ones of another one, so these are short. A
    long file is in one part, because its tests may share processes.
    """
    files: dict[str, list[T]] = defaultdict(list)
    for test in tests:
        files[find_file(test)].append(test)
    parts: list[list[T]] = [[] for _ in range(processes)]
    seconds = [0] * processes
    for name in sorted(LONG, key=LONG.__getitem__, reverse=True):
        least = seconds.index(min(seconds))
        parts[least] += files.pop(name, [])
        seconds[least] += LONG[name]
    short = (test for each in files.values() for test in each)
    dealt: list[T] = []
    for number, part in enumerate(parts):
        size = (len(tests) - len(dealt)) // (processes - number)
        dealt += [*part, *islice(short, max(0, size - len(part)))]
    return [*dealt, *short]
