"""Plan a sync of the whole list: read it, and compare it with the registry."""

from dataclasses import dataclass

from cron_tasks.errors import SourceError
from cron_tasks.registry.plan import Changes, plan_changes
from cron_tasks.registry.registry import Registry
from cron_tasks.registry.stored_index import StoredIndex
from cron_tasks.rest.listing import Source
from cron_tasks.rest.pagination import FeedLink
from cron_tasks.rest.validators import Validators
from cron_tasks.settings import Settings
from cron_tasks.sync.outcome import Report
from cron_tasks.sync.policy import make_policy


@dataclass(frozen=True, slots=True)
class ListRead:
    """The changes of a list, its version, and the feed that it names (None without news about
    it)."""

    report: Report
    validators: Validators | None = None
    feed: FeedLink | None = None


def read_list(
    registry: Registry, settings: Settings, force: bool, validators: Validators | None
) -> ListRead:
    """Read the list and plan the changes.

    `validators` are those of the list that the registry holds. If the list is still the same,
    there is nothing to change.
    """
    try:
        with Source(settings).open_list(validators) as listing:
            feed: FeedLink | None = listing.feed
            if listing.not_modified:
                report = Report("ok", Changes(unchanged=registry.count()), not_modified=True)
                # A 304 may leave out the header Link (RFC 9110, section 15.4.5).
                return ListRead(report, validators, feed if feed != FeedLink() else None)
            policy = make_policy(settings, force)
            changes = plan_changes(StoredIndex(registry.redis), listing, policy)
            validators = listing.validators
    except SourceError as error:
        return ListRead(Report("failing", Changes(unchanged=registry.count()), str(error)))
    if changes.refusal:
        return ListRead(Report("refused", changes, changes.refusal))
    return ListRead(Report("ok", changes), validators, feed)
