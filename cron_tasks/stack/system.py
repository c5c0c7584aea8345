"""All parts together: started in order, watched, ended in order."""

import asyncio
import re
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from redis import Redis

from cron_tasks import names
from cron_tasks.errors import CronTasksError
from cron_tasks.redis_client import connect
from cron_tasks.registry import Registered, Registry
from cron_tasks.settings import Settings, variable
from cron_tasks.stack.child import CannotRun, Child, Part
from cron_tasks.stack.folder import Home, home
from cron_tasks.stack.narrator import Narrator
from cron_tasks.stack.parts import Layout, Options, embeds, layout, need
from cron_tasks.stack.screen import Screen

#: Ticks shown once all is ready, and seconds to wait for the first sync until then.
NEXT_SHOWN, FIRST_SYNC = 5, 20.0


def up(options: Options, settings: Settings) -> int:
    """Run the system until a signal ends it; the exit code.

    Raises CronTasksError when it cannot start or go on, RedisError when there is no Redis where
    the settings say, OSError when the data folder cannot be used.
    """
    need(options, settings)
    with home(options.data) as place:
        plan = layout(options, settings, place)
        if not embeds(settings):
            with connect(plan.redis_url) as redis:
                redis.ping()
                if options.demo:
                    spare_real_jobs(redis)
        system = System(plan, place)
        return asyncio.run(system.run(facts(plan, settings, place), settings.warnings))


def spare_real_jobs(redis: Redis) -> None:
    """Raises CronTasksError when the demo's jobs would take the place of a real service's."""
    source = str(redis.hget(names.SOURCE, "read_as") or "")
    if redis.exists(names.JOBS) and not re.match(r"http://127\.0\.0\.1:2\d{4} ", source):
        service = source.partition(" ")[0] or "a REST service"
        raise CronTasksError(
            f"this Redis holds the jobs of {service}, which the demo would replace: "
            f"unset {variable('redis_url')}, or name another database of it"
        )


def facts(plan: Layout, settings: Settings, place: Home) -> dict[str, str]:
    """Which part is where, for a person."""
    fate = " (deleted at the end; --data FOLDER keeps it)" if place.temporary else ""
    found = {"data": f"{place.folder}{fate}", "logs": f"{place.logs}"}
    found["redis"] = plan.redis_url if embeds(settings) else settings.masked_redis_url
    found["rest"] = plan.rest_url
    if plan.jobs:
        found["rest"] += "/docs"
        found["jobs"] = f"{plan.jobs}: edit it and save, it counts within a second"
    chosen = {"redis_url": plan.redis_url} if embeds(settings) else {}
    chosen |= {"rest_url": plan.rest_url} if plan.jobs else {}
    if chosen:
        exports = " ".join(f"{variable(name)}={value}" for name, value in chosen.items())
        found["elsewhere"] = f"export {exports}; cron-tasks jobs list"
    return found


class System:
    """The parts of `plan` as children of this process."""

    def __init__(self, plan: Layout, place: Home) -> None:
        self.plan = plan
        self.place = place
        self.children: dict[str, Child] = {}
        self._ended = asyncio.Event()
        self._failure: BaseException | None = None
        self._killed = False

    async def run(self, places: Mapping[str, str], warnings: Iterable[str]) -> int:
        """Until a signal, or until the screen is gone: 0; 1 if it had to be by force."""
        loop = asyncio.get_running_loop()
        self._heed_signals(loop)
        screen = Screen(lambda: _from_thread(loop, self._ended))
        self.narrator = Narrator(screen)
        self.narrator.places(places, warnings)
        rising = asyncio.create_task(self._rise())
        rising.add_done_callback(self._note_failure)
        try:
            await self._ended.wait()
            rising.cancel()
            begun = time.monotonic()
            self.narrator.ends()
            await self._fall()
            self.narrator.ended(time.monotonic() - begun)
            if isinstance(self._failure, CannotRun):
                self.narrator.last_lines(self._failure.tail)
        finally:
            screen.close()
        if self._failure:
            raise self._failure
        return 1 if self._killed else 0

    def _heed_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup says so when the end of the terminal is not to be the end of the system.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self._interrupt)

    def _interrupt(self) -> None:
        if self._ended.is_set():
            self._killed = True
            for child in self.children.values():
                child.kill()
        self._ended.set()

    async def _rise(self) -> None:
        begun = time.monotonic()
        for stage in self.plan.stages:
            for child in [self._start(part) for part in stage]:
                await child.ready.wait()
        self.narrator.all_ready(time.monotonic() - begun)
        deadline = time.monotonic() + FIRST_SYNC
        with connect(self.plan.redis_url) as redis:
            while not (jobs := await asyncio.to_thread(upcoming, redis, NEXT_SHOWN)):
                if time.monotonic() > deadline:
                    return
                await asyncio.sleep(0.1)
        self.narrator.upcoming(jobs, time.time())

    def _start(self, part: Part) -> Child:
        child = self.children[part.name] = Child(part, self.place, self.narrator)
        child.start().add_done_callback(self._note_failure)
        return child

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._failure = self._failure or error
            self._ended.set()

    async def _fall(self) -> None:
        for parts in self.plan.endings:
            running = [self.children[part.name] for part in parts if part.name in self.children]
            await asyncio.gather(*(child.stop() for child in running))


def upcoming(redis: Redis, most: int) -> list[Registered]:
    """Up to `most` jobs with the nearest ticks, in their order."""
    keys = redis.zrangebyscore(names.SCHEDULE, 0, "+inf", start=0, num=most * 2)
    job_ids = [job_id for key in keys if (job_id := names.job_id_of(str(key)))]
    jobs = [job for job in Registry(redis).registered(job_ids) if job.next is not None]
    return sorted(jobs, key=lambda job: job.next or 0)[:most]


def _from_thread(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop may be closed by then
        loop.call_soon_threadsafe(ended.set)
