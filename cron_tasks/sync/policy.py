"""The policy for judging a list, from the settings of this installation."""

from functools import partial

from cron_tasks.registry.plan import Policy
from cron_tasks.settings import Settings
from cron_tasks.sync.outcome import remark_on
from cron_tasks.sync.state import load_permissions


def make_policy(settings: Settings, force: bool = False) -> Policy:
    """Return the policy for judging a list. `force` accepts a list that is empty or has shrunk."""
    permissions = load_permissions(settings)
    zone, share = settings.timezone, settings.shrink_limit
    queues = settings.notify_queue, settings.default_queue
    remark = partial(remark_on, settings=settings)
    return Policy(zone, share, force, permissions, *queues, remark_on=remark)
