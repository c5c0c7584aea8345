"""The handlers of pages. They read in threads, because Flower's event loop also processes
events."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

import orjson
from redis.exceptions import RedisError
from tornado.web import authenticated

from cron_tasks.errors import CronTasksError, UnknownJob
from cron_tasks.flower.inside import FlowerHandler
from cron_tasks.health.failures import describe_failure
from cron_tasks.pages import charts, job_facts, words
from cron_tasks.pages.context import Context, get_context
from cron_tasks.pages.index import STATES, select
from cron_tasks.pages.sentence import Headline
from cron_tasks.registry.rejections import read_rejected
from cron_tasks.schedules.durations import HOUR, MINUTE
from cron_tasks.text.trace_ids import trace_id_of

#: Only our own files run, and no other site shows a page in a frame. Bootstrap's icons are data.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: Jobs on a page of the list.
ROWS = 50
#: Seconds for which a page waits for the index after Flower's start.
INDEX_PATIENCE = 0.2
#: Seconds for which a page waits for the first forecast.
FORECAST_PATIENCE = 0.2
T = TypeVar("T")


class Framed(FlowerHandler):
    """Answers with our templates. `tab` is the name of the page in the navigation."""

    tab = ""

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Content-Security-Policy", CSP)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "same-origin")

    def link(self, path: str, **arguments: object) -> str:
        """Return the path of a page, with those arguments that are not empty."""
        given = urlencode({name: value for name, value in arguments.items() if value})
        return self.prefix + path + (f"?{given}" if given else "")

    async def call(self, read: Callable[..., T], *arguments: Any) -> T:
        """Call a function that reads from Redis, in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(get_context().threads, read, *arguments)

    def show(self, template: str, **facts: Any) -> None:
        """Write a page, with the message of the action before it."""
        flash: bytes | None = self.get_signed_cookie("cron_flash")
        if flash:
            self.clear_cookie("cron_flash", path=f"{self.prefix}/")
        message: list[Any] = orjson.loads(flash) if flash else []
        self.render(
            template,
            **facts,
            now=time.time(),
            words=words,
            page=self,
            flash=Headline(*message) if message else None,
            why_no_actions=self.why_no_actions,
        )

    def show_fault(self, error: Exception) -> None:
        """Show the reason why this page cannot be shown."""
        is_unknown = isinstance(error, UnknownJob)
        self.set_status(404 if is_unknown else 503)
        text = describe_failure(error) or str(error)
        self.show("cron_fault.html", headline=Headline("fail", text[:1].upper() + text[1:]))


class Page(Framed, ABC):
    """A page that people read."""

    @authenticated
    async def get(self, of: str = "") -> None:
        try:
            await self.answer(of)
        except (RedisError, OSError, CronTasksError) as error:
            self.show_fault(error)

    @abstractmethod
    async def answer(self, of: str) -> None:
        """Write the page, of the job with this id if the path names one."""


class HealthPage(Page):
    """Is everything well? If not, what is wrong, and since when?"""

    tab = "cron-health"

    async def answer(self, _: str) -> None:
        context = get_context()
        health = await self.call(context.health)
        index, forecast = await self.call(_read_forecast, context)
        hour = forecast.counts_from(health.at, 60) if forecast else ()
        start = health.at // MINUTE * MINUTE
        self.show(
            "cron_health.html",
            health=health,
            index=index,
            bars=charts.bars_of_minutes(hour, start),
            hour_total=sum(hour),
        )


def _read_forecast(context: Context) -> Any:
    index = context.index.peek()
    return index, context.forecaster.get(index, FORECAST_PATIENCE)


class JobsPage(Page):
    """All jobs, with a search and filters that can be bookmarked."""

    tab = "cron-jobs"

    async def answer(self, _: str) -> None:
        query, tag, state = (self.read_name(name)[:200] for name in ("q", "tag", "state"))
        given = self.read_argument("page")
        number = int(given) if given.isascii() and given.isdigit() and len(given) < 7 else 1
        found = await self.call(_read_list, get_context(), query, tag, state, number)
        self.show("cron_jobs.html", query=query, tag=tag, state=state, states=STATES, **found)


def _read_list(context: Context, query: str, tag: str, state: str, number: int) -> dict[str, Any]:
    index = context.index.get(INDEX_PATIENCE)
    matching = select(index, query, tag, state, context.ids_in_state(state))
    last = max(-(-len(matching) // ROWS), 1)
    number = min(max(number, 1), last)
    ids = [job.id for job in matching[(number - 1) * ROWS : number * ROWS]]
    rows = job_facts.read_rows(context.redis, ids, time.time())
    return {
        "rows": rows,
        "total": len(matching),
        "number": number,
        "last": last,
        "index": index,
        "rejected": read_rejected(context.redis) if state == "rejected" else (),
    }


class JobPage(Page):
    """One job: its definition, its past runs, and its next ticks."""

    tab = "cron-jobs"

    async def answer(self, of: str) -> None:
        context, at = get_context(), self.read_argument("at")[:100]
        job = await self.call(job_facts.read_job, context.redis, of, time.time())
        why, asked_for = "", None
        if at:
            why, asked_for = await self.call(job_facts.explain, context.redis, of, at)
        self.show(
            "cron_job.html",
            job_page=job,
            at=at,
            why=why,
            asked_for=asked_for,
            fields=orjson.dumps(job.fields, option=orjson.OPT_INDENT_2).decode(),
            link_trace=lambda run_id: context.settings.link_trace(trace_id_of(run_id)),
        )


class UpcomingPage(Page):
    """The number of ticks in each minute of the next day."""

    tab = "cron-upcoming"

    async def answer(self, _: str) -> None:
        index, forecast = await self.call(_read_forecast, get_context())
        # Rows begin with whole hours, so that the columns are the minutes of an hour.
        now = time.time()
        start = now // HOUR * HOUR
        passed = int((now - start) // MINUTE)
        counts = [0] * passed + list(forecast.counts_from(now, 24 * 60)) if forecast else []
        self.show(
            "cron_upcoming.html",
            forecast=forecast,
            rows=charts.heat_map(counts, start),
            total=sum(counts),
            passed=passed,
            index=index,
        )
