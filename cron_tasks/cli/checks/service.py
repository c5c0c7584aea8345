"""The REST service, and what the last sync made of it."""

from cron_tasks.cli.checks import Finding, System, fail, ok, warn
from cron_tasks.cli.times import duration, local
from cron_tasks.errors import SourceError
from cron_tasks.plan import Policy, plan
from cron_tasks.registry import Registry
from cron_tasks.settings import Settings, variable
from cron_tasks.source import Source
from cron_tasks.sync import Reconciler

#: Doctor waits no longer than this, in seconds, for an answer and for the whole list.
PATIENCE = {"rest_timeout": 3.0, "rest_deadline": 5.0}
ANSWER = "make the service answer with its list; until then the jobs stay as they are"
FORCE = "if the list is right, `cron-tasks sync --force` takes it"


def reading(system: System) -> Finding:
    settings = system.settings
    settings.required("rest_url")
    hurried = settings.model_copy(
        update={name: min(most, getattr(settings, name)) for name, most in PATIENCE.items()}
    )
    current = Registry(system.redis).fingerprints() if system.reachable else {}
    try:
        with Source(hurried).read(None) as listing:
            found = plan(current, listing, Policy(settings.timezone, settings.shrink_limit))
    except SourceError as error:
        return fail(str(error) + _hurry(str(error), hurried), ANSWER)
    rows = found.unchanged + len(found.added) + len(found.changed) + len(found.rejected)
    detail = f"{rows:,} rows"
    if found.refusal:
        return fail(f"{detail}; {found.refusal}", FORCE)
    if found.rejected:
        detail += f", {len(found.rejected):,} of them rejected"
        return warn(detail, "`cron-tasks jobs rejected` gives the reasons")
    return ok(detail)


def _hurry(cause: str, settings: Settings) -> str:
    """Of a cause that is about time: that a sync would have waited longer."""
    about_time = any(variable(name) in cause for name in PATIENCE)
    return f"; doctor waits {settings.rest_deadline:g} s at most" if about_time else ""


def last_sync(system: System) -> Finding:
    status = Reconciler(system.redis, system.settings).status()
    if status.state is None:
        return warn("there was none yet", "start beat and a worker, or say `cron-tasks sync`")
    if status.state != "ok":
        since = f"{status.state} since {local(status.since, 'UTC')}"
        return fail(f"{since}: {status.detail}", FORCE if status.state == "refused" else ANSWER)
    age = system.now - (status.last_success or 0)
    interval = system.settings.sync_interval
    ago = f"{duration(age)} ago"
    if age > 3 * interval + 10:
        return fail(
            f"{ago}, though one is due every {duration(interval)}",
            "beat asks for it and a worker does it: are both running?",
        )
    return ok(f"succeeded {ago}")
