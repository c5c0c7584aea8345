"""The registry's changes: each script changes a job, its due time and its past in one step.

A job's `since` says from when on its timing counts; what counted before goes to its versions, so
that an audit knows which ticks to expect. Ticks that a change overtakes, due but not yet fired, are
accounted for as missed, or as skipped (skips.py).
"""

from cron_tasks.store.scripts import Script, script

put: Script[tuple[list[str], list[str]]] = script("registry/put")
remove: Script[list[str]] = script("registry/remove")
pause: Script[list[str] | int] = script("registry/pause")
resume: Script[str] = script("registry/resume")
