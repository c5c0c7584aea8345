"""The parts of a row that are needed before it is a job: its id, and fields that do not define the
job. Pure."""

from typing import Any

#: Fields that do not define a job: our own reports (report/), and when its row was last saved.
REMARKS = frozenset(
    {"last_run_at", "last_status", "last_error", "next_run_at", "config_error"}
    | {"updated_at", "updated", "modified_at", "modified"}
)
#: The field that rest/mapping.py adds to a row: switches for which REST_MAPPING found null.
MAPPED_TO_NULL = "mapped_to_null"
#: The field in which rest/mapping.py and validation store why a field of DISPLAYED is left out.
LEFT_OUT = "left_out"
#: The most faults that are stored there.
MOST_LEFT_OUT = 3
#: The fields that we add to a row.
NOTES = frozenset({MAPPED_TO_NULL, LEFT_OUT})
#: The fields that are only shown to people. A fault in one of them does not reject the job.
DISPLAYED = frozenset({"tags"})
#: The fields that switch a job on or off.
SWITCHES = ("enabled", "is_active")
#: The least number of 200 digits. Ids are shorter.
_LONG_ID = 10**199


def row_id(row: Any) -> str | None:
    """Return the id of a row as text, or None if it has no valid id.

    7 and "7" are the same job.
    """
    identity = row.get("id") if isinstance(row, dict) else None
    if isinstance(identity, str):
        return identity if 0 < len(identity) <= 200 and identity.isprintable() else None
    if isinstance(identity, int) and not isinstance(identity, bool):
        return str(identity) if abs(identity) < _LONG_ID else None
    return None
