"""The registry's changes: each script changes a job, its due time and its past in one step.

A job's `since` says from when on its timing counts; what counted before goes to its versions, so
that an audit knows which ticks to expect. Ticks that a change overtakes, due but not yet fired, are
accounted for as missed, or as skipped (skips.py). Every script gets the same keys (schedule, jobs,
set aside, wake, removed, failing, edits, source, lock, generation, skips) and the same first
arguments (now, seconds kept for the audit, prefixes of entries, versions and accounts, and how the
record of overtaken ticks ends).
"""

from cron_tasks.store.scripts import positional

put = positional("registry/put")
remove = positional("registry/remove")
pause = positional("registry/pause")
resume = positional("registry/resume")
