"""Explain in one true sentence what happened to a job at a time. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cron_tasks.audit.job_account import JobAccount, Version, status_of
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Flag, Kind, State
from cron_tasks.runs.reasons import REASONS, explain_end
from cron_tasks.schedules.catchup import is_fire_time
from cron_tasks.schedules.human import format_distance, format_local, format_runtime

_OPEN = {
    Kind.PENDING: "waits for a worker",
    Kind.QUEUED: "is queued behind a running run of the same job",
    Kind.RUNNING: "is running",
    Kind.DELEGATED: "is running",
    Kind.WAITING: "waits for its turn",
}
#: The same for a run before a further attempt, if the text differs.
_OPEN_AGAIN = {
    Kind.PENDING: "waits for a worker for its next attempt",
    Kind.WAITING: "waits for its next attempt",
}
#: Reasons for which a failed run was not retried.
_NOT_RETRIED = ("paused", "disabled", "discarded")
#: The latest runs of a job, by run id.
History = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the time is a tick, its status if it has one, and all of it as a sentence."""

    due: bool
    status: str | None
    sentence: str


def explain_tick(
    account: JobAccount,
    history: History,
    at: float,
    now: float,
    zone: str,
    to_skip: bool = False,
) -> Answer:
    """Return what happened, or will happen, to a job at the time `at`.

    `at` and `now` are in seconds since the epoch. The sentence shows times in `zone`. With
    `to_skip`, a person asked to skip this tick, and beat has not processed it yet.
    """
    name, when = f"Job {account.job_id}", format_local(at, zone)
    if any(at == first for first, _, _ in account.records) or at in account.open:
        return _explain_end(account, history, at, now, zone)
    version = account.version_at(at)
    tense = "is" if at > now else "was"
    if version is None:
        why = _explain_gap(account, at, now, zone)
        return Answer(False, None, f"{name} {tense} not due at {when}: {why}")
    if version.schedule is None:
        return Answer(False, None, f"{name} {tense} not due at {when}: it {tense} {version.why}")
    if not is_fire_time(version.schedule, at):
        return Answer(False, None, _show_neighbours(account, version, at, now, zone))
    if to_skip and (at > now or status_of(account, at)[0] == "open"):
        why = REASONS["by_hand"]
        return Answer(True, "skipped", f"{name} {tense} due at {when} and will be skipped: {why}")
    if at > now:
        return Answer(True, None, f"{name} is due at {when}, {format_distance(at - now)}")
    return _explain_end(account, history, at, now, zone)


def _explain_gap(account: JobAccount, at: float, now: float, zone: str) -> str:
    """Return why nothing was due at a time at which no version was in force."""
    since = min((v.since for v in account.versions), default=now)
    if at <= since:
        return f"the job is known only since {format_local(int(since), zone)}"
    later = [v.since for v in account.versions if v.since >= at]
    if not later:
        return "the job no longer exists"
    ended = max(v.until for v in account.versions if v.until < at)
    start, end = format_local(int(ended), zone), format_local(int(min(later)), zone)
    return f"no schedule was in force from {start} to {end}"


def _show_neighbours(
    account: JobAccount, version: Version, at: float, now: float, zone: str
) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    around = []
    if version.schedule:
        before, after = version.schedule.latest(moment), version.schedule.after(moment)
        if before and before.timestamp() > version.since:
            status, _ = status_of(account, before.timestamp())
            ended = "" if before.timestamp() > now else f" ({status})"
            around.append(f"the previous one is {format_local(before, zone)}{ended}")
        if after:
            around.append(f"the next one is {format_local(after, zone)}")
    return f"Job {account.job_id} has no tick at {format_local(at, zone)}: {', '.join(around)}"


def _explain_end(account: JobAccount, history: History, at: float, now: float, zone: str) -> Answer:
    was, became = ("is", "will be") if at > now else ("was", "was")
    start = f"Job {account.job_id} {was} due at {format_local(at, zone)} and"
    if at in account.open:
        return Answer(True, "open", f"{start} {_explain_open(account.open[at])}")
    status, reason = status_of(account, at)
    if status == "unsure":
        return Answer(True, None, f"{start} ended, but {_show_counts(account, at)}")
    if status == "open":
        return Answer(True, "open", f"{start} has not fired yet: no beat has processed it")
    record = account.record_of(at) or _find_by_time(history, at)
    if status in ("skipped", "missed"):
        why = _explain_overlap(record or {}, account, history, zone) or explain_end(record, reason)
        return Answer(True, status, f"{start} {became} {status}: {why}")
    if record is None:
        ran = "ran ok" if status == "ok" else "failed"
        return Answer(True, status, f"{start} {ran}; details are kept only for the latest runs")
    return Answer(True, status, f"{start} {_describe_run(record, zone)}")


def _explain_open(state: State) -> str:
    """Return the state of an open run as text. It has failed so far only if a further attempt
    follows."""
    kind = state.kind
    if not state.in_flight and state.attempt > 1:
        return f"failed and {_OPEN_AGAIN.get(kind, _OPEN[kind])}"
    had_turn = kind is Kind.PENDING and Flag.WAS_QUEUED in state.flags
    return _OPEN[Kind.WAITING if had_turn else kind]


def _show_counts(account: JobAccount, at: float) -> str:
    counts = sorted(account.counts_in_hour(at).items())
    shown = ", ".join(f"{n} {s}{f' ({r})' if r else ''}" for (s, r), n in counts)
    return f"its record is gone; besides ticks that ran ok, its hour has: {shown}"


def _find_by_time(history: History, at: float) -> Mapping[str, Any] | None:
    runs = ((RunId.parse(text), record) for text, record in history.items())
    found = (record for run, record in runs if run and run.scheduled_for == at)
    return next(found, None)


def _describe_run(record: Mapping[str, Any], zone: str) -> str:
    is_further = (record.get("attempt") or 0) > 1
    text = "ran ok" if record["status"] == "ok" else "failed"
    text += f" at attempt {record['attempt']}" if is_further else ""
    text += f": {record['error']}" if record["status"] == "failed" else ""
    if (reason := record.get("reason")) in _NOT_RETRIED:
        text += f"; it was not retried because {REASONS[reason]}"
    if record.get("started_at") is None:
        return text
    lasted = format_runtime(record["finished_at"] - record["started_at"])
    began = format_local(int(record["started_at"]), zone)
    return f"{text}; {'that attempt' if is_further else 'it'} started at {began} and took {lasted}"


def _explain_overlap(
    record: Mapping[str, Any], account: JobAccount, history: History, zone: str
) -> str | None:
    """Return which run blocked this one and how it ended, or None if there was none."""
    if not record.get("other"):
        return None
    when = RunId.stored(record["other"]).scheduled_for
    start = f"the run of {format_local(when, zone)}"
    if record["reason"] != "overlap":
        if began := record.get("started_at"):
            return f"{start} took its place after {format_runtime(record['finished_at'] - began)}"
        return explain_end(record, record["reason"], f"{start} took its place")
    found = account.record_of(when) or history.get(record["other"])
    if found is None or found.get("finished_at") is None:
        is_queued = _was_queued(account, when)
        return f"{start} {'waited for its turn' if is_queued else 'was still running'}"
    # That run may have waited itself: for its turn or, if it was a rerun, for a person.
    first = (found.get("attempts") or [found])[0].get("started_at")
    began = found.get("began") or first
    verb = "was still running" if began and began <= record["finished_at"] else "had not ended"
    ended = format_local(int(found["finished_at"]), zone)
    return f"{start} {verb}; it ended at {ended} {found['status']}"


def _was_queued(account: JobAccount, tick: float) -> bool:
    """Return whether an open run is or was queued. Other runs wait only behind such a run."""
    state = account.open.get(tick)
    return state is not None and (state.kind is Kind.QUEUED or Flag.WAS_QUEUED in state.flags)
