"""Policies against each other: the outputs of all commands agree with the log of the service.

Edits, stops, retries, outages and manual actions come in any order, on jobs of every overlap,
catch-up and retry policy. POLICY_WALKS sets the number of walks, POLICY_STEPS their length.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from driven import Beat
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from policy_accounts import audit_agrees, ends_agree, going_agrees, messages_agree, told
from policy_workers import EVENTS
from policy_world import World, driven, world
from redis import Redis

from cron_tasks.ledger.run_id import RunId
from cron_tasks.store import keys

JOBS = ("a", "b")
WALKS, STEPS = int(os.environ.get("POLICY_WALKS", 50)), int(os.environ.get("POLICY_STEPS", 40))
#: Rules and edits that are left out, each with the reason why.
LEFT_OUT: frozenset[str] = frozenset()

jobs = st.sampled_from(JOBS)
overlaps = st.sampled_from(("skip", "queue", "allow", "replace"))
catchups = st.builds(
    lambda policy, window: {"policy": policy, "window": window},
    st.sampled_from(("one", "none", "all")),
    st.sampled_from((20, 120, 3600)),
)
retries = st.builds(
    lambda most, backoff: {"max_attempts": most, "backoff": backoff},
    st.sampled_from((1, 2, 3)),
    st.sampled_from((0, 5, 40)),
)
everys = st.sampled_from((10, 30, 60, 300))
notifies = st.sampled_from(({"on": EVENTS}, {"on": EVENTS, "stale_after": 20}))
any_of = st.integers(0, 99)
ends = st.sampled_from(("ok", "ok", "failed", "failed", "final", "died"))


class Policies(RuleBasedStateMachine):
    redis: Redis
    beat: Beat

    def __init__(self) -> None:
        super().__init__()
        self._world = world(self.redis, self.beat)
        self.world: World = self._world.__enter__()

    @initialize(data=st.data(), quick=st.booleans())
    def jobs_are_listed(self, data: Any, quick: bool) -> None:
        for job_id in JOBS:
            row = {"id": job_id, "name": job_id, "every": data.draw(everys)}
            row |= {"overlap": data.draw(overlaps), "catchup": data.draw(catchups)}
            row |= {"retry": data.draw(retries), "notify": data.draw(notifies)}
            if job_id == "a" or not quick:
                row["action"] = {"type": "http", "url": "http://127.0.0.1:9/"}
            self.world.add(row)
        self.world.tick()

    # Time

    @rule(seconds=st.sampled_from((1, 5, 31, 31, 61)))
    def time_passes(self, seconds: int) -> None:
        self.world.passes(seconds)

    @rule(seconds=st.sampled_from((1, 5, 31, 600)))
    def beat_is_away(self, seconds: int) -> None:
        self.world.passes(seconds, beat=False)

    @rule()
    def beat_looks(self) -> None:
        self.world.tick()

    # Workers

    @rule()
    def a_worker_takes_the_next_message(self) -> None:
        for name in self.world.hints():
            self.world.take(name)

    @rule(n=any_of)
    def a_message_comes_again(self, n: int) -> None:
        if opened := sorted(self.world.opened()):
            self.world.take(opened[n % len(opened)])

    @rule()
    def a_message_is_lost(self) -> None:
        self.world.hints()

    @rule(n=any_of, how=ends, retry_after=st.sampled_from((0, 0, 45)))
    def an_attempt_ends(self, n: int, how: str, retry_after: float) -> None:
        if self.world.working:
            self.world.end(self.world.working[n % len(self.world.working)], how, retry_after)

    @rule()
    def workers_do_all_there_is(self) -> None:
        self.world.works_off()

    # People

    @rule(job_id=jobs)
    def pause(self, job_id: str) -> None:
        if self.free(job_id):
            self.world.pause(job_id)

    @rule(job_id=jobs)
    def resume(self, job_id: str) -> None:
        if self.listed(job_id):
            self.world.resume(job_id)

    @rule(job_id=jobs)
    def run(self, job_id: str) -> None:
        if self.listed(job_id):
            self.world.run(job_id)

    @rule(n=any_of)
    def cancel(self, n: int) -> None:
        if opened := sorted(self.world.opened()):
            self.world.cancel(opened[n % len(opened)])

    @rule(n=any_of)
    def retry(self, n: int) -> None:
        ended = [name for name in self.world.ended() if self.listed(RunId.stored(name).job_id)]
        if ended:
            self.world.retry(ended[n % len(ended)])

    @rule(job_id=jobs, seconds=st.sampled_from((60, 600)))
    def backfill(self, job_id: str, seconds: float) -> None:
        if self.listed(job_id):
            self.world.backfill(job_id, seconds)

    @rule(job_id=jobs)
    def skip_next(self, job_id: str) -> None:
        if self.listed(job_id):
            self.world.skip_next(job_id)

    def listed(self, job_id: str) -> bool:
        return self.world.jobs[job_id].listed

    def free(self, job_id: str) -> bool:
        """Return whether the timing of a job may be changed."""
        skips = (self.world.jobs[job_id].skip or 0.0) >= self.world.clock.now
        return self.listed(job_id) and not (skips and "edits after skip-next" in LEFT_OUT)

    # The REST service

    @rule(job_id=jobs, data=st.data())
    def edit(self, job_id: str, data: Any) -> None:
        choices: dict[str, Callable[[], Any]] = {
            "name": lambda: data.draw(st.sampled_from(("x", "y"))),
            "every": lambda: data.draw(everys),
            "enabled": lambda: data.draw(st.booleans()),
            "overlap": lambda: data.draw(overlaps),
            "retry": lambda: data.draw(retries),
            "catchup": lambda: data.draw(catchups),
        }
        field = data.draw(st.sampled_from(sorted(choices)))
        if self.free(job_id):
            self.world.edit(job_id, **{field: choices[field]()})

    @rule(job_id=jobs)
    def remove(self, job_id: str) -> None:
        if self.free(job_id):
            self.world.remove(job_id)

    @rule(job_id=jobs)
    def comes_back(self, job_id: str) -> None:
        if not self.listed(job_id):
            self.world.comes_back(job_id)

    # What must hold

    @invariant()
    def nothing_begins_that_must_not(self) -> None:
        self.world.go_on()
        self.holds(self.world.wrong)

    @invariant()
    @precondition(lambda self: self.world.jobs)
    def audit_and_why_agree(self) -> None:
        for job_id in self.world.jobs:
            self.holds(audit_agrees(told(self.world, job_id)))

    @invariant()
    def what_goes_is_shown(self) -> None:
        self.holds(going_agrees(self.world))

    def holds(self, wrong: Iterable[str]) -> None:
        assert not (found := list(wrong)), "\n".join(found)

    def teardown(self) -> None:
        """In the end, let everything run out."""
        try:
            self.world.runs_out()
            self.nothing_begins_that_must_not()
            self.audit_and_why_agree()
            for job_id in self.world.jobs:
                self.holds(ends_agree(told(self.world, job_id)))
            self.holds(messages_agree(self.world))
            assert not self.redis.exists(keys.OPEN, keys.DEADLINES, keys.ATTEMPTS)
        finally:
            self._world.__exit__(None, None, None)


# Making a walk that failed short takes minutes.
@pytest.mark.timeout(600)
def test_what_every_command_says_is_what_the_service_saw(redis: Redis, redis_url: str) -> None:
    with driven(redis, redis_url) as beat:
        machine = type("Machine", (Policies,), {"redis": redis, "beat": beat})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=WALKS,
                stateful_step_count=STEPS,
                deadline=None,
                derandomize="POLICY_WALKS" not in os.environ,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
