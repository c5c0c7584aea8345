"""All parts together: started in order, watched, ended in order."""

import asyncio
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import click
from redis import Redis

from cron_tasks.errors import CronTasksError
from cron_tasks.local.child import Child
from cron_tasks.local.home import Home, home
from cron_tasks.local.narrator import Narrator
from cron_tasks.local.parts import Layout, embeds, layout, need
from cron_tasks.registry.registry import Registered, Registry
from cron_tasks.settings import Settings, variable_name
from cron_tasks.store import names
from cron_tasks.store.client import connect
from cron_tasks.sync.state import load_status, take_over

#: Ticks shown once all is ready, and seconds to wait for the first sync until then.
NEXT_SHOWN, FIRST_SYNC = 5, 20.0


def up(settings: Settings, *, demo: bool, workers: int, data: Path | None) -> None:
    """Run the system until SIGINT or SIGTERM.

    Raises CronTasksError when it cannot start or go on, RedisError when there is no Redis where
    the settings say, OSError when the data folder cannot be used.
    """
    need(demo, settings)
    if not embeds(settings):
        with connect(settings.redis_url.get_secret_value()) as redis:
            service = load_status(redis).owner
        if demo and service and not service.startswith("http://127.0.0.1:"):
            raise CronTasksError(f"the demo would replace the jobs of {service} in this Redis")
    with home(data) as place:
        plan, narrator = layout(demo, workers, settings, place), Narrator()
        for name, where in plan.places.items():
            narrator.row(name, where)
        for text in settings.warnings:
            narrator.row("settings", text, "yellow")
        if embeds(settings):
            narrator.show("\nFor another terminal:")
            narrator.show(f"  export {variable_name('redis_url')}={plan.redis_url}")
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

    async def run(self) -> None:
        """Until a signal, or until a part cannot run, which is raised."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.ended.set)
        rising = asyncio.create_task(self._rise())
        rising.add_done_callback(self._note_failure)
        await self.ended.wait()
        rising.cancel()
        # From here on, a second signal ends this process, and the guard kills the others.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        begun, self.narrator.ending = time.monotonic(), True
        self.narrator.show("\nEnding; workers finish what they run. Ctrl-C again kills.")
        for parts in self.plan.endings:
            running = [self.children[part.name] for part in parts if part.name in self.children]
            await asyncio.gather(*(child.stop() for child in running))
        self.narrator.show(f"Ended in {time.monotonic() - begun:.1f} s.")
        if self.failure:
            raise self.failure

    async def _rise(self) -> None:
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
        text = click.style(f"All ready in {time.monotonic() - begun:.1f} s.", bold=True)
        self.narrator.show(f"\n{text} Ctrl-C ends everything.")
        deadline = time.monotonic() + FIRST_SYNC
        with connect(self.plan.redis_url) as redis:
            while time.monotonic() < deadline:
                if jobs := await asyncio.to_thread(upcoming, redis, NEXT_SHOWN):
                    return self.narrator.upcoming(jobs, time.time())
                await asyncio.sleep(0.1)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.failure = self.failure or error
            self.ended.set()


def upcoming(redis: Redis, most: int) -> list[Registered]:
    """Up to `most` jobs with the nearest ticks, in their order."""
    keys = redis.zrangebyscore(names.SCHEDULE, 0, "+inf", start=0, num=most * 2)
    job_ids = [job_id for key in keys if (job_id := names.job_id_of(str(key)))]
    found = Registry(redis).registered(job_ids, lambda *_: None)
    return [each for each in found if each.next is not None][:most]
