"""What became of a job at a time, as one true sentence. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cron_tasks.audit.account import Account, Version, status_of
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.state import Flag, Kind, State
from cron_tasks.runs.reasons import REASONS, because_of
from cron_tasks.schedules.catchup import is_fire_time
from cron_tasks.schedules.human import format_distance, format_local, format_runtime

_OPEN = {
    Kind.PENDING: "waits for a worker",
    Kind.QUEUED: "waits for the end of the run of its job that is going",
    Kind.RUNNING: "is running",
    Kind.DELEGATED: "is running",
    Kind.WAITING: "waits for its turn",
}
#: The same of a run that comes to a further attempt, where it is another text.
_OPEN_AGAIN = {
    Kind.PENDING: "waits for a worker for its next attempt",
    Kind.WAITING: "waits for its next attempt",
}
#: Why a run that failed was not tried again.
_NOT_AGAIN = {
    "paused": "the job was paused",
    "disabled": "the job was disabled",
    "discarded": "workers discarded its message again and again: was it revoked?",
}
#: Runs of the history by run id.
History = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the time is a tick, how that ended if it has, and all of it as a sentence."""

    due: bool
    status: str | None
    sentence: str


def why(
    account: Account, history: History, at: float, now: float, zone: str, to_skip: bool = False
) -> Answer:
    """What became of a job at `at` (seconds since the epoch), told in the times of `zone`.

    `to_skip` tells that the tick is to be skipped, and beat has not come to it.
    """
    name, when = account.job_id, format_local(at, zone)
    if any(at == first for first, _, _ in account.records) or at in account.open:
        return _ended(account, history, at, now, zone)
    version = account.version_at(at)
    tense = "is" if at > now else "was"
    if version is None:
        known = _unknown(account, at, now, zone)
        return Answer(False, None, f"{name} {tense} not due at {when}: {known}")
    if version.schedule is None:
        return Answer(False, None, f"{name} {tense} not due at {when}: it {tense} {version.why}")
    if not is_fire_time(version.schedule, at):
        return Answer(False, None, _no_tick(account, version, at, now, zone))
    if to_skip and (at > now or status_of(account, at)[0] == "open"):
        said = REASONS["by_hand"]
        return Answer(True, "skipped", f"{name} {tense} due at {when} and will be skipped: {said}")
    if at > now:
        return Answer(True, None, f"{name} is due at {when}, {format_distance(at - now)}")
    return _ended(account, history, at, now, zone)


def _unknown(account: Account, at: float, now: float, zone: str) -> str:
    """Return why nothing was due at a time at which no version counted."""
    since = min((v.since for v in account.versions), default=now)
    if at <= since:
        return f"the job is known only since {format_local(int(since), zone)}"
    later = [v.since for v in account.versions if v.since >= at]
    if not later:
        return "the job exists no more"
    ended = max(v.until for v in account.versions if v.until < at)
    start, end = (format_local(int(each), zone) for each in (ended, min(later)))
    return f"no schedule counted from {start} to {end}"


def _no_tick(account: Account, version: Version, at: float, now: float, zone: str) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    around = []
    if version.schedule:
        before, after = version.schedule.latest(moment), version.schedule.after(moment)
        if before and before.timestamp() > version.since:
            ended, _ = status_of(account, before.timestamp())
            told = "" if before.timestamp() > now else f" ({ended})"
            around.append(f"the tick before is that of {format_local(before, zone)}{told}")
        if after:
            around.append(f"the next one is that of {format_local(after, zone)}")
    return f"{account.job_id} has no tick at {format_local(at, zone)}: {', '.join(around)}"


def _ended(account: Account, history: History, at: float, now: float, zone: str) -> Answer:
    was, became = ("is", "will be") if at > now else ("was", "was")
    start = f"{account.job_id} {was} due at {format_local(at, zone)} and"
    if at in account.open:
        return Answer(True, "open", f"{start} {_open(account.open[at])}")
    status, reason = status_of(account, at)
    if status == "unsure":
        return Answer(True, None, f"{start} ended, but {_in_its_hour(account, at)}")
    if status == "open":
        return Answer(True, "open", f"{start} has not been fired yet: no beat has looked after it")
    record = account.record_of(at) or _by_time(history, at)
    if status in ("skipped", "missed"):
        said = because_of(record, reason)
        other = _other(record or {}, account, history, zone)
        return Answer(True, status, f"{start} {became} {status}: {other or said}")
    if record is None:
        ran = "ran ok" if status == "ok" else "failed"
        return Answer(True, status, f"{start} {ran}; details are kept of the latest runs only")
    return Answer(True, status, f"{start} {_ran(record, zone)}")


def _open(state: State) -> str:
    """Say what an open run does. Only one that comes to a further attempt has failed so far."""
    kind = state.kind
    if not state.in_flight and state.attempt > 1:
        return f"failed and {_OPEN_AGAIN.get(kind, _OPEN[kind])}"
    had_turn = kind is Kind.PENDING and Flag.WAS_QUEUED in state.flags
    return _OPEN[Kind.WAITING if had_turn else kind]


def _in_its_hour(account: Account, at: float) -> str:
    counts = account.in_hour(at)
    told = ", ".join(f"{n} {s}{f' ({r})' if r else ''}" for (s, r), n in sorted(counts.items()))
    return f"of its hour only counts are kept beside those that ran ok: {told}"


def _by_time(history: History, at: float) -> Mapping[str, Any] | None:
    runs = ((RunId.parse(text), record) for text, record in history.items())
    found = (record for run, record in runs if run and run.scheduled_for == at)
    return next(found, None)


def _ran(record: Mapping[str, Any], zone: str) -> str:
    further = (record.get("attempt") or 0) > 1
    said = "ran ok" if record["status"] == "ok" else "failed"
    said += f" at attempt {record['attempt']}" if further else ""
    said += f": {record['error']}" if record["status"] == "failed" else ""
    if because := _NOT_AGAIN.get(str(record.get("reason"))):
        said += f"; it was not tried again, as {because}"
    if record.get("started_at") is None:
        return said
    lasted = format_runtime(record["finished_at"] - record["started_at"])
    began = format_local(int(record["started_at"]), zone)
    return f"{said}; {'that attempt' if further else 'it'} started at {began} and took {lasted}"


def _other(record: Mapping[str, Any], account: Account, history: History, zone: str) -> str | None:
    """The run that was in the way, and what became of it."""
    if not record.get("other"):
        return None
    when = RunId.stored(record["other"]).scheduled_for
    start = f"the run of {format_local(when, zone)}"
    if record["reason"] != "overlap":
        if began := record.get("started_at"):
            return f"{start} took its place after {format_runtime(record['finished_at'] - began)}"
        return because_of(record, record["reason"], f"{start} took its place")
    found = account.record_of(when) or history.get(record["other"])
    if found is None or found.get("finished_at") is None:
        return f"{start} {'waited for its turn' if _queued(account, when) else 'was still going'}"
    # It may itself have waited, for its turn or, if it was done again, for a person.
    first = (found.get("attempts") or [found])[0].get("started_at")
    began = found.get("began") or first
    verb = "was still going" if began and began <= record["finished_at"] else "had not ended"
    ended = format_local(int(found["finished_at"]), zone)
    return f"{start} {verb}; it ended at {ended} {found['status']}"


def _queued(account: Account, tick: float) -> bool:
    """Whether an open run is or was queued behind another: only those are waited behind."""
    state = account.open.get(tick)
    return state is not None and (state.kind is Kind.QUEUED or Flag.WAS_QUEUED in state.flags)
