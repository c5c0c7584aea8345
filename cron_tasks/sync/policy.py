"""The policy for judging a list, from the settings of this installation."""

from functools import cache, partial
from importlib.metadata import version

from cron_tasks.actions import secrets
from cron_tasks.jobs import plugins
from cron_tasks.jobs.actions import MODELS
from cron_tasks.jobs.fingerprint import FORMAT
from cron_tasks.jobs.permissions import Permissions
from cron_tasks.registry.plan import Policy
from cron_tasks.settings import Settings
from cron_tasks.sync.owner import service_of
from cron_tasks.sync.remarks import remark_on


def make_policy(settings: Settings, force: bool = False) -> Policy:
    """Return the policy for judging a list. `force` accepts a list that is empty or has shrunk."""
    permissions = _load_permissions(settings)
    zone, share = settings.timezone, settings.shrink_limit
    queues = settings.notify_queue, settings.default_queue
    remark = partial(remark_on, settings=settings)
    return Policy(zone, share, force, permissions, *queues, remark_on=remark)


def describe_judging(settings: Settings) -> str:
    """Return everything besides the list that affects the outcome of a sync.

    If it has changed, a 304 does not mean that the registry is up to date.
    """
    judged = [
        settings.timezone,
        settings.notify_queue,
        settings.default_queue,
        _load_permissions(settings).fingerprint_salt,
        sorted(plugins.load_models()),
        [model.__name__ for model in MODELS],
        FORMAT.decode(),
        _package_version(),
    ]
    asked = [service_of(settings), settings.rest_mapping, settings.rest_report_path]
    return f"{asked} {judged}"


def _load_permissions(settings: Settings) -> Permissions:
    """Return the permissions of jobs: the settings, and the secrets that exist now."""
    known = frozenset(secrets.list_secrets(settings.secrets_dir))
    return Permissions(settings.tasks_allow, settings.http_allow, known)


@cache
def _package_version() -> str:
    return version("cron-tasks")
