"""Perform the action of a run: every type of action behind one small interface."""

from collections.abc import Coroutine, Mapping
from inspect import isasyncgen, isawaitable, iscoroutinefunction, isgenerator
from typing import Any, Protocol
from urllib.parse import urlsplit

from cron_tasks.actions import http
from cron_tasks.errors import ActionFailed, Stopped
from cron_tasks.http.hosts import DEFAULT_PORTS
from cron_tasks.jobs.actions import HttpAction
from cron_tasks.jobs.job import Job
from cron_tasks.jobs.plugins import CustomAction
from cron_tasks.jobs.run import Run
from cron_tasks.settings import Settings
from cron_tasks.text.output import render_output


class Performer(Protocol):
    """Performs the work of a run, and returns the output to keep: printable, at most 4 kB.

    It may be a coroutine function. Raises ActionFailed, or anything else, if the work could not be
    done.
    """

    def __call__(
        self, run: Run, settings: Settings
    ) -> str | Coroutine[Any, Any, str | None] | None: ...


#: `notify` has no work to do. The ledger sends the notification in the step that finishes the run,
#: so that no notification is sent twice or without the outcome of its run.
BUILT_IN_PERFORMERS: Mapping[str, Performer] = {
    "notify": lambda *_: None,
    "http": http.perform_request,
}


def find_performer(job: Job) -> Performer:
    """Return the function that performs the action of a job.

    Raises ActionFailed for a type that this version does not have.
    """
    if isinstance(job.action, CustomAction):
        return _plugin_performer(job.action)
    try:
        return BUILT_IN_PERFORMERS[job.action.type]
    except KeyError:
        text = f"this version has no action of type {job.action.type!r}"
        raise ActionFailed(text, permanent=True) from None


def find_place(job: Job) -> str:
    """Return the place that an action waits for, such as a host. Each place has a limited number of
    runs."""
    if isinstance(job.action, HttpAction):
        parts = urlsplit(job.action.url)
        host = job.action.host.lower().removesuffix(".")
        return f"{host}:{parts.port or DEFAULT_PORTS[parts.scheme]}"
    return job.action.type


def _plugin_performer(action: CustomAction) -> Performer:
    async def perform_on_loop(run: Run, settings: Settings) -> str | None:
        return _render(await action.perform(run, settings))

    if iscoroutinefunction(action.perform):
        return perform_on_loop
    return lambda run, settings: _render(action.perform(run, settings))


def _render(result: Any) -> str | None:
    """Return the output to keep of a plug-in's return value. The work is done, whatever the value
    is.

    Raises TypeError for a value that shows that the work has not begun, such as a coroutine that
    nobody awaits.
    """
    if isawaitable(result) or isgenerator(result) or isasyncgen(result):
        kind = type(result).__name__
        raise TypeError(f"perform returned a {kind}, which does nothing by itself")
    try:
        return render_output(result)
    except Stopped:
        raise
    except BaseException as error:
        return f"<an output that cannot be shown: {type(error).__name__}>"
