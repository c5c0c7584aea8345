"""Start all parts in order, watch them, and stop them in order."""

import asyncio
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import click
from redis import Redis

from cron_tasks.errors import CronTasksError
from cron_tasks.local.child import Child
from cron_tasks.local.home import Home, open_home
from cron_tasks.local.narrator import Narrator
from cron_tasks.local.parts import Layout, check_requirements, embeds_valkey, plan_layout
from cron_tasks.local.run_feed import show_runs
from cron_tasks.registry.registry import RegisteredJob, Registry
from cron_tasks.settings import Settings, variable_name
from cron_tasks.store import keys
from cron_tasks.store.client import connect
from cron_tasks.sync.owner import take_over
from cron_tasks.sync.state import load_status

#: The number of ticks to show at the start, and the seconds to wait for the first sync before that.
NEXT_SHOWN, FIRST_SYNC = 5, 20.0


def run_system(settings: Settings, *, demo: bool, workers: int, data: Path | None) -> None:
    """Run the system until SIGINT or SIGTERM.

    Raises CronTasksError if it cannot start or go on, RedisError if the Redis of the settings does
    not answer, and OSError if the data folder cannot be used.
    """
    check_requirements(demo, settings)
    if not embeds_valkey(settings):
        with connect(settings.redis_url.get_secret_value()) as redis:
            service = load_status(redis).owner
        if demo and service and not service.startswith("http://127.0.0.1:"):
            raise CronTasksError(
                f"The demo would replace the jobs of {service} in this Redis. "
                f"Leave {variable_name('redis_url')} unset"
            )
    with open_home(data) as place:
        plan, narrator = plan_layout(demo, workers, settings, place), Narrator(not demo)
        for name, where in plan.places.items():
            narrator.show_row(name, where)
        for text in settings.warnings:
            narrator.show_row("settings", text, "yellow")
        if plan.exports:
            narrator.show("\nFor another terminal:")
        for name, value in plan.exports.items():
            narrator.show(f"  export {name}={value}")
        if plan.example:
            narrator.show(f"  {plan.example}")
        narrator.show()
        asyncio.run(System(plan, place, narrator).run())


@dataclass
class System:
    """The parts of `plan` as children of this process."""

    plan: Layout
    place: Home
    narrator: Narrator
    children: dict[str, Child] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    failure: BaseException | None = None
    feed: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Run until a signal comes. Raises the error of a part that cannot run."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.ended.set)
        starting = asyncio.create_task(self._start_all())
        starting.add_done_callback(self._note_failure)
        await self.ended.wait()
        starting.cancel()
        # From here on a second signal kills this process, and the guard kills the others.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        begun, self.narrator.ending = time.monotonic(), True
        self.narrator.show("\nStopping. Workers finish their runs; Ctrl-C again kills them.")
        for parts in self.plan.endings:
            running = [self.children[part.name] for part in parts if part.name in self.children]
            await asyncio.gather(*(child.stop() for child in running))
        if self.feed:
            self.feed.cancel()
        self.narrator.show(f"Stopped in {time.monotonic() - begun:.1f} s.")
        if self.failure:
            raise self.failure

    async def _start_all(self) -> None:
        """Start the parts stage by stage, and show the next ticks once all are ready."""
        begun = time.monotonic()
        for stage in self.plan.stages:
            if stage is not self.plan.stages[0] and self.plan.claim:
                with connect(self.plan.redis_url) as redis:
                    take_over(redis, self.plan.claim)
            for part in stage:
                child = self.children[part.name] = Child(part, self.place, self.narrator)
                child.start().add_done_callback(self._note_failure)
            for part in stage:
                await self.children[part.name].ready.wait()
            if stage is self.plan.stages[0] and self.narrator.shows_runs:
                self.feed = asyncio.create_task(show_runs(self.plan.redis_url, self.narrator))
                self.feed.add_done_callback(self._note_failure)
        text = click.style(f"All ready in {time.monotonic() - begun:.1f} s.", bold=True)
        self.narrator.show(f"\n{text} Ctrl-C stops everything.")
        deadline = time.monotonic() + FIRST_SYNC
        with connect(self.plan.redis_url) as redis:
            while time.monotonic() < deadline:
                if jobs := await asyncio.to_thread(read_upcoming, redis, NEXT_SHOWN):
                    return self.narrator.show_upcoming(jobs, time.time())
                await asyncio.sleep(0.1)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.failure = self.failure or error
            self.ended.set()


def read_upcoming(redis: Redis, most: int) -> list[RegisteredJob]:
    """Return up to `most` jobs with the nearest ticks, in the order of the ticks."""
    entry_keys = redis.zrangebyscore(keys.SCHEDULE, 0, "+inf", start=0, num=most * 2)
    job_ids = [job_id for key in entry_keys if (job_id := keys.job_id_of(str(key)))]
    found = Registry(redis).read_jobs(job_ids, lambda *_: None)
    return [each for each in found if each.next is not None][:most]
