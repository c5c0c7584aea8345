"""Check the REST service, the syncs with it, and the registry that they write."""

import time
from dataclasses import asdict
from math import inf
from typing import cast

from cron_tasks.errors import SourceError, SourceLate
from cron_tasks.health.system import Result, System, expect_none
from cron_tasks.registry.index import HeldIndex
from cron_tasks.registry.plan import Changes, compare_list
from cron_tasks.registry.registry import Registry
from cron_tasks.registry.stored_index import StoredIndex
from cron_tasks.repair.comparison import Comparison
from cron_tasks.repair.foreign import find_foreign
from cron_tasks.rest.listing import Source
from cron_tasks.store import keys
from cron_tasks.store.readable import is_count
from cron_tasks.sync.feed_state import WAIT, describe_feed, load_position
from cron_tasks.sync.feed_state import load_status as load_feed_status
from cron_tasks.sync.owner import service_of
from cron_tasks.sync.policy import describe_judging, make_policy
from cron_tasks.sync.state import load_beginning, load_status
from cron_tasks.text.english import number_of
from cron_tasks.vitals.judgement import RIVAL_SHOWN, judge_sync

#: Seconds to wait for the REST service: for one response, and for the whole list.
REST_PATIENCE = {"rest_timeout": 3.0, "rest_deadline": 5.0}

#: With more jobs than this, the list is read only if it has changed, and only a part of the
#: registry is compared.
MANY = 100_000
#: Seconds for which that part is compared.
COMPARED_FOR = 0.3
#: Seconds beyond the longest wait after which a feed without an answer is a finding.
FEED_GRACE = 30.0

_UNCHANGED = "Current jobs stay unchanged"

#: Each kind of difference in the registry: the noun that is counted, and the fault.
DIFFERENCES = {
    "foreign": ("key", "that somebody else wrote"),
    "unscheduled": ("job", "with a next tick, but not in the schedule"),
    "unreadable": ("job", "without a readable entry"),
    "unlisted": ("entry", "not in the index of jobs"),
    "untimed": ("open tick", "without a deadline"),
    "leftovers": ("leftover", "of ticks that have ended"),
}


def check_rest_service(system: System) -> Result:
    """Compare the list with the registry. Raises SourceLate, if the list takes too long."""
    try:
        return _compare_list(system)
    except SourceLate:
        raise
    except SourceError as error:
        return Result(False, str(error), _UNCHANGED)


def _compare_list(system: System) -> Result:
    settings = system.settings
    settings.require("rest_url")
    hurried = settings.model_copy(
        update={name: min(most, getattr(settings, name)) for name, most in REST_PATIENCE.items()}
    )
    registry = Registry(system.redis)
    jobs = registry.count() if system.is_reachable else 0
    judging = describe_judging(settings)
    known = load_beginning(system.redis).find_validators(judging) if jobs > MANY else None
    current = StoredIndex(system.redis) if jobs else HeldIndex({})
    with Source(hurried).open_list(known) as listing:
        if listing.not_modified:
            return Result(
                True, f"The list has not changed since the last sync: {number_of(jobs, 'job')}"
            )
        policy = make_policy(settings)
        found = Changes(policy, policy.queues())
        compare_list(current, listing, found, found.add_candidate)
    rows = number_of(found.unchanged + len(found.candidates) + len(found.rejected), "row")
    if found.refusal:
        force = "If the list is right, run `cron-tasks sync --force`"
        return Result(False, f"{rows}; {found.refusal}", f"{_UNCHANGED}. {force}")
    return Result(True, rows)


def check_last_sync(system: System) -> Result:
    source = asdict(load_status(system.redis))
    verdict = judge_sync(source, system.now, system.settings.sync_interval)
    failed = source["state"] not in (None, "ok")
    unchanged = "Current jobs stay unchanged until a sync succeeds" if failed else ""
    return Result(*verdict, unchanged)


def check_owner(system: System) -> Result:
    status = load_status(system.redis)
    system.settings.require("rest_url")
    ours = service_of(system.settings)
    if status.owner not in (None, ours):
        other = f"but this installation reads {ours}"
        return Result(False, f"Redis holds the jobs of {status.owner}, {other}")
    if status.rival and system.now - (status.rival_at or 0) < RIVAL_SHOWN:
        other = f"but another installation reads {status.rival}"
        return Result(False, f"Redis holds the jobs of {ours}, {other}")
    return Result(True, f"Redis holds the jobs of {ours}")


def check_registry(system: System) -> Result:
    if foreign := find_foreign(system.redis, system.now, mend=False):
        about = "of another type than ours, or a lock without an end"
        return Result(False, f"{number_of(len(foreign), 'key')} {about}: {', '.join(foreign)}")
    comparison, end = Comparison(system.redis, system.settings, lambda: system.now), None
    if Registry(system.redis).count() > MANY:
        end = time.monotonic() + COMPARED_FOR
    found, is_whole = comparison.find_until(lambda: end is not None and time.monotonic() > end)
    counts = cast("dict[str, str]", system.redis.hgetall(keys.MENDED)).values()
    mended = sum(map(int, filter(is_count, counts)))
    texts = [
        f"{number_of(times, DIFFERENCES[kind][0])} {DIFFERENCES[kind][1]}"
        for kind, times in found.counts.items()
    ]
    agree = "Jobs, schedule and open ticks agree"
    if not is_whole:
        agree += f", as far as {COMPARED_FOR:g} s show. The leading beat compares all"
    before = f"; {number_of(mended, 'difference')} repaired in the last 7 days" if mended else ""
    return Result(not texts, (", ".join(texts) or agree) + before)


def check_feed(system: System) -> Result:
    fault, position = load_status(system.redis).feed_fault, load_position(system.redis)
    if fault:
        return Result(False, f"T{fault[1:]}", "Name a feed on the origin of the service itself")
    if not position.address:
        return Result(
            True, "The list names no feed of changes, so edits apply by pokes or with the list"
        )
    status = load_feed_status(system.redis)
    age = system.now - status.answered if status.answered else inf
    is_recent = not status.error and age <= WAIT + system.settings.rest_timeout + FEED_GRACE
    return Result(is_recent, describe_feed(status, system.now))


check_rows = expect_none(lambda s: s.redis.hlen(keys.REJECTED), "row", "rejected by the last sync")
check_entries = expect_none(lambda s: s.redis.hlen(keys.SET_ASIDE), "entry", "in quarantine")
