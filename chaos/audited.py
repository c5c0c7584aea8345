"""Check that `cron-tasks audit` agrees with the checker."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from chaos.asked import Asked, job_of
from chaos.checker import Verdict


def compare(verdict: Verdict, audit: Mapping[str, Any], asked: Asked) -> None:
    """Compare the counts, and the jobs with lost and doubled ticks.

    If the entry of a job was deleted, the audit may know fewer of its ticks: `verdict.unsure`
    counts them. It may also not see a later loss on that day, because the count of the day includes
    those ticks.
    """
    said = _said(audit)
    found = Counter[str]()
    for status, count in verdict.statuses.items():
        found[_merged(status)] += count
    unsure = Counter[str]()
    for status, count in verdict.unsure.items():
        unsure[_merged(status)] += count
    found["expected"], unsure["expected"] = verdict.expected, verdict.unsure.total()
    wrong = verdict.wrong["audit"]
    # A beat whose clock is ahead may fire a tick before the pause that the checker has before it.
    # The audit then expects the tick.
    ahead = len(verdict.in_hand)
    for what in sorted({*said, *found}):
        if not found[what] - unsure[what] <= said[what] <= found[what] + ahead:
            wrong.append(f"{what}: {said[what]}, and not {found[what]}")
    in_hand = set(map(job_of, verdict.in_hand))
    for kind, runs, more, fewer in (
        ("lost", verdict.lost, set[str](), set(asked.rewritten)),
        ("doubled", verdict.ended_twice, set[str](), set[str]()),
        ("unasked", verdict.wrong["unasked"], in_hand, in_hand),
    ):
        # An audit that does not check a kind has no such field.
        if kind in audit:
            _compare_jobs(wrong, kind, audit[kind], runs, more, fewer)


def _said(audit: Mapping[str, Any]) -> Counter[str]:
    names = "expected", "ok", "failed", "open"
    said = Counter({name: audit[name] for name in names})
    for status in ("skipped", "missed"):
        said.update({f"{status} {reason}": n for reason, n in audit[status].items()})
    return said


def _merged(status: str) -> str:
    return "failed" if status.startswith("failed") else status


def _compare_jobs(
    wrong: list[str],
    what: str,
    said: Iterable[Any],
    found: Iterable[str],
    more: set[str],
    fewer: set[str],
) -> None:
    """Compare by job: the audit names a single tick, or the number of ticks of a job and a day.

    The audit may report jobs in `more` alone, and may not report jobs in `fewer`.
    """
    jobs_found = {job_of(run) for run in found}
    jobs_said = set[str]()
    for line in map(str, said):
        alone = job_of(line.split()[0]) if "@" in line else ""
        named = alone or next((word for word in line.split() if "-" in word), line)
        jobs_said.add(named)
        if named not in jobs_found | more:
            wrong.append(f"{what} says the audit alone: {line}")
    silent = jobs_found - jobs_said - fewer
    wrong += [f"{what} of {job}: not in the audit" for job in sorted(silent)]
