"""Compute what the end of a run adds to the counters in `cron_tasks:metrics`. Pure.

A counter is a field of that hash: the name of a metric without its prefix, then the values of its
labels, separated by `|`. Its value is a whole number. A histogram has a counter for each bucket,
named after its upper bound, and one for the sum in milliseconds.

Scripts get the additions as text, pairs of a counter and a number: `ticks_total|ok| 1`. Many runs
of a message have the same text. A script parses it once (store/lua/add_to_counters.lua).
"""

import re
from bisect import bisect_left
from functools import lru_cache

#: Upper bounds of the buckets of all histograms, in seconds.
BOUNDS = ("0.01", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "300", "1800")
_BOUNDS_MS = [int(float(bound) * 1000) for bound in BOUNDS]
#: The names of the bucket above the last bound, and of the sum.
ABOVE, SUM = "+Inf", "sum"

#: A run whose worker stopped renewing its lease.
LEASE_LOST = " leases_lost_total 1"
#: A tick that a person had skipped.
SKIPPED_BY_HAND = "ticks_total|skipped|by_hand 1"


@lru_cache(maxsize=16384)
def count_end(
    outcome: str,
    reason: str | None = None,
    action: str = "",
    lag: int | None = None,
    duration: int | None = None,
    notified: int | None = None,
    attempted: bool = False,
    by_hand: bool = False,
    suppressed: bool = False,
) -> str:
    """Return the additions for the end of an attempt.

    `outcome` is the status of the run, or "retry" if another attempt follows. `lag` is from the
    fire time to the first start, `duration` is that of the attempt, and `notified` is from the fire
    time to the notification. All are in whole milliseconds, negative if clocks differ, and None if
    they were not measured. A run `by_hand` is not a tick.
    """
    texts = []
    if outcome != "retry":
        name = "manual_runs_total" if by_hand else "ticks_total"
        texts.append(f"{name}|{outcome}|{_label(reason or '')} 1")
    if attempted:
        ended = "failed" if outcome == "retry" else outcome
        texts.append(f"attempts_total|{_label(action)}|{ended} 1")
    if suppressed:
        texts.append("notifications_suppressed_total 1")
    if lag is not None:
        texts.append(_observe("tick_lag_seconds", lag))
    if duration is not None:
        texts.append(_observe(f"run_duration_seconds|{_label(action)}", duration))
    if notified is not None:
        texts.append(count_told(notified))
    return " ".join(texts)


def count_told(lag: int) -> str:
    """Return the additions for a notification that came `lag` milliseconds after the fire time."""
    return _observe("notification_lag_seconds", lag)


def count_missed(reason: str, ticks: int = 1) -> str:
    """Return the additions for ticks that did not fire. "" for none."""
    return f"ticks_total|missed|{_label(reason)} {ticks}" if ticks > 0 else ""


def count_lost_delivery(action: str) -> str:
    """Return the additions for an attempt whose worker died and that another attempt follows."""
    return f"attempts_total|{_label(action)}|lost 1{LEASE_LOST}"


def _observe(counter: str, milliseconds: int) -> str:
    milliseconds = max(milliseconds, 0)
    index = bisect_left(_BOUNDS_MS, milliseconds)
    bound = BOUNDS[index] if index < len(BOUNDS) else ABOVE
    return f"{counter}|{bound} 1 {counter}|{SUM} {milliseconds}"


def _label(value: str) -> str:
    """Return a value without the characters that separate counters. Plug-ins may have any name."""
    return re.sub(r"[^\w.-]", "_", value)
