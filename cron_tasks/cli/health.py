"""`cron-tasks health`, for probes."""

import time

import click

from cron_tasks.cli import console
from cron_tasks.settings import load
from cron_tasks.store.client import connect
from cron_tasks.text.display import printable
from cron_tasks.vitals import judgement
from cron_tasks.vitals.signs import this_host

#: Seconds to wait for Redis. Probes give up soon.
PATIENCE = 2.0


@click.command()
@click.argument("part", required=False, type=click.Choice(["beat", "worker", "sync"]))
@console.json_option
@click.pass_context
def health(ctx: click.Context, part: str | None) -> None:
    """Print one line: whether the system, or a part of it, works. Exits 1 if it does not.

    `beat` and `worker` check those of this host, and `sync` checks the last sync. Without a part,
    it checks that everything fires, workers are present, and the list is fresh.
    """
    settings = load()
    with connect(settings.redis_url.get_secret_value(), timeout=PATIENCE, retries=0) as redis:
        facts = judgement.read_facts(redis, time.time())
    match part:
        case "beat":
            verdict = judgement.judge_beat(facts, this_host())
        case "worker":
            verdict = judgement.judge_worker(facts, this_host())
        case "sync":
            verdict = judgement.judge_sync(facts.source, facts.now, settings.sync_interval)
        case _:
            verdict = judgement.judge_system(facts, settings.sync_interval)
    shown = {"part": part or "system", "healthy": verdict.is_healthy, "detail": verdict.detail}
    status = "ok" if verdict.is_healthy else "fail"
    console.show_line(shown, f"{status}: {printable(verdict.detail, 500)}")
    if not verdict.is_healthy:
        ctx.exit(1)
