"""Turn a row of the REST service's list into a Job, or into a Rejected with every reason. Pure.

All faults of a row are reported at once, for the person who edits it. `validate_row` never raises,
whatever the row contains.
"""

import re
from math import isfinite
from typing import Any

from pydantic import ValidationError

from cron_tasks.errors import ScheduleError
from cron_tasks.jobs.job import EXPECTED, OPTIONS, TIMING, Job, rule_text
from cron_tasks.jobs.messages import explain_errors, format_faults
from cron_tasks.jobs.permissions import NO_PERMISSIONS, Permissions
from cron_tasks.jobs.rejected import Rejected, Unreadable
from cron_tasks.jobs.row import DISPLAYED, LEFT_OUT, MOST_LEFT_OUT, REMARKS, row_id
from cron_tasks.jobs.rule_hints import suggest_rule
from cron_tasks.schedules import Schedule, parse
from cron_tasks.schedules.parse import RULE_FIELDS
from cron_tasks.text.display import short_repr
from cron_tasks.text.stored_json import to_storable, to_storable_fields

#: The most errors that are reported for one row.
MOST_ERRORS = 50
#: The object fields whose members are all optional.
_OBJECTS = ("notify", "retry", "catchup")
#: The most bytes of JSON in one field of a schedule.
_LONGEST = 65_536
_ID = "a whole number, or text of 1 to 200 printable characters"


def validate_row(
    row: Any, *, timezone: str, place: str = "", permissions: Permissions = NO_PERMISSIONS
) -> Job | Rejected:
    """Return the job that `row` describes, or all reasons why it is not a job. Never raises.

    `timezone` is the zone of a job that names none. `place` is where the row stands in the list
    ("row 17"). `permissions` are those that the operator grants to jobs.
    """
    if not isinstance(row, dict):
        return Rejected(None, place, (f"expected an object, got {short_repr(row)}",), row)
    identity = row_id(row)
    if isinstance(row, Unreadable):
        return Rejected(identity, place, (row.reason,), dict(row))
    timing, options, unknown = _split_row(row)
    found: list[tuple[str, str]] = []
    if options.keys() >= {"enabled", "is_active"} and options["enabled"] != options["is_active"]:
        found.append(("is_active", "contradicts `enabled`"))
    if identity is None:
        found.append(("id", f"expected {_ID}, got {short_repr(options.pop('id', None))}"))
    else:
        options["id"] = identity
    if unknown:
        options["extra"] = to_storable_fields(unknown)
    try:
        given = {"timezone": timezone, **timing}
        schedule = options["schedule"] = parse(**given, identity=identity or "")
        options["written"] = _rule_as_written(timing, schedule)
    except ScheduleError as error:
        found += error.errors if timing.keys() & set(RULE_FIELDS) else suggest_rule(error, unknown)
    try:
        job = _make_job(options)
        if "action" in options:
            found += permissions.find_faults(job.action)
        if job.heartbeat_url:
            found += permissions.find_heartbeat_faults(job.heartbeat_url)
    except ValidationError as error:
        wrong = explain_errors(error, EXPECTED)
        found += [item for item in wrong.items() if item[0] not in ("id", "schedule")]
    if found:
        sentences = dict.fromkeys(format_faults(found))
        return Rejected(identity, place, tuple(sentences)[:MOST_ERRORS], row)
    return job


def _make_job(options: dict[str, Any]) -> Job:
    """Return the job, without a faulty field that is only shown. Raises ValidationError."""
    try:
        return Job.model_validate(options)
    except ValidationError as error:
        wrong = explain_errors(error, EXPECTED)
        fields = {re.split(r"[.[]", path)[0] for path in wrong}
        if not fields <= DISPLAYED:
            raise
    rest = {name: value for name, value in options.items() if name not in fields}
    notes = list(format_faults(wrong.items()))[:MOST_LEFT_OUT]
    return Job.model_validate(rest | {"extra": options.get("extra", {}) | {LEFT_OUT: notes}})


def _split_row(row: dict[Any, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[Any, Any]]:
    """Return the fields of a row in three groups: of the schedule, other known ones, unknown ones.

    Absent values (`_is_absent`) are left out, and so are fields that do not define a job.
    """
    timing: dict[str, Any] = {}
    options: dict[str, Any] = {}
    unknown: dict[Any, Any] = {}
    for name, value in row.items():
        if (not value and _is_absent(name, value)) or name in REMARKS:
            continue
        if name in TIMING:
            # NaN and Infinity are not JSON. As null, the field would seem to be missing.
            finite = not isinstance(value, float) or isfinite(value)
            timing[name] = to_storable(value, _LONGEST) if finite else str(value)
        else:
            (options if name in OPTIONS else unknown)[name] = value
    return timing, options, unknown


def _is_absent(name: Any, value: Any) -> bool:
    """Return whether a value without content counts as not given.

    null does. So does an empty text, which many database columns use for null, unless the field is
    required. So does an empty array for an object of settings, as PHP writes it.
    """
    if value == "":
        return name not in ("id", "name")
    return value is None or (value == [] and name in _OBJECTS)


def _rule_as_written(timing: dict[str, Any], schedule: Schedule) -> str | None:
    """Return the rule as in the row, or None if the schedule spells it in the same way."""
    text = next(str(timing[kind]) for kind in RULE_FIELDS if str(timing.get(kind, "")).strip())
    return None if text == rule_text(schedule) else text
