"""Serve jobs by REST, as cron_tasks reads them, for trying things out.

It has all parts that a service can have (docs/rest-service.md): a list with an ETag, single rows, a
feed of changes, reports, and pokes after each change. The jobs are in a file, which may be edited
while the service runs. Clients can create, change and delete jobs. The service checks only the ids
of jobs, and leaves everything else to cron_tasks.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import click
import structlog
import uvicorn
from fastapi import Body, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.demo.change_feed import ChangeFeed
from cron_tasks.demo.job_file import JobFile
from cron_tasks.jobs.row import REMARKS
from cron_tasks.jobs.row import row_id as identity
from cron_tasks.settings import load
from cron_tasks.store import keys
from cron_tasks.store.client import connect
from cron_tasks.telemetry import logs

log = structlog.get_logger("cron_tasks.demo.rest")

JOBS = "/api/cronjobs/"
CHANGES = "/api/cronjobs/changes"
#: The most ids in one poke. The whole list is read for more.
MOST_POKED = 200


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    watching = asyncio.create_task(app.state.file.watch())
    yield
    watching.cancel()


async def _get_file(request: Request) -> Any:
    return request.app.state.file


async def _get_feed(request: Request) -> Any:
    return request.app.state.feed


app = FastAPI(title="Demo jobs for cron-tasks", version="1", lifespan=lifespan)
File = Annotated[JobFile, Depends(_get_file)]
Feed = Annotated[ChangeFeed, Depends(_get_feed)]
Row = dict[str, Any]
Job = Annotated[Row, Body(examples=[{"name": "Every five seconds", "every": 5}])]
Known = Annotated[str | None, Header(alias="If-None-Match")]


@app.get(JOBS, summary="All jobs", response_model=list[Row])
async def list_jobs(file: File, feed: Feed, known: Known = None) -> Response:
    # The cursor is taken before the rows are read. A change in between then comes twice, and is
    # never lost.
    cursor = feed.cursor
    if file.fault and not file.rows:
        raise HTTPException(503, file.fault)
    body = json.dumps(file.rows_with_reports())
    headers = {"ETag": f'"{hashlib.sha256(body.encode()).hexdigest()[:16]}"'}
    headers["Link"] = f'<{CHANGES}?cursor={cursor}>; rel="changes"'
    if known == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


@app.get(CHANGES, summary="Jobs that changed since a cursor, as soon as there are any")
async def list_changes(
    request: Request,
    file: File,
    feed: Feed,
    cursor: str,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for a change")] = 0,
) -> Row:
    await feed.wait(cursor, wait, lambda: request.app.state.server.should_exit)
    reached, ids = feed.cursor, feed.ids_since(cursor)
    if ids is None:
        raise HTTPException(410, "This cursor is too old. Read the list again")
    rows = file.rows_by_id()
    changes = [
        {"id": each, "job": rows[each]} if each in rows else {"id": each, "deleted": True}
        for each in ids
    ]
    return {"changes": changes, "cursor": reached}


@app.post(JOBS, summary="Create a job", status_code=201)
async def create_job(file: File, job: Job) -> Row:
    file.refresh()
    taken = {identity(row) or "" for row in file.rows}
    row = {"id": max([int(each) for each in taken if each.isdecimal()], default=0) + 1, **job}
    if (job_id := identity(row)) is None:
        raise HTTPException(422, "An ID is a whole number, or 1 to 200 printable characters")
    if job_id in taken:
        raise HTTPException(409, f"Another job has the ID {job_id}")
    file.save([*file.rows, row])
    return row


@app.get(JOBS + "{job_id:path}", summary="One job")
async def get_job(file: File, job_id: str) -> Any:
    return file.rows_with_reports()[file.find(job_id)[0]]


@app.put(JOBS + "{job_id:path}", summary="Replace a job")
async def replace_job(file: File, job_id: str, job: Job) -> Row:
    position, job_id = file.find(job_id)
    rows = [*file.rows]
    row = rows[position] = {"id": rows[position]["id"], **job}
    if identity(row) != job_id:
        raise HTTPException(422, "The ID of a job cannot change")
    file.save(rows)
    return row


@app.patch(JOBS + "{job_id:path}", summary="Change fields of a job (null removes one), or report")
async def change_job(file: File, job_id: str, job: Job) -> Row:
    position, job_id = file.find(job_id)
    if job.keys() <= REMARKS:
        file.reports[job_id] = file.reports.get(job_id, {}) | job
        return cast("Row", file.rows_with_reports()[position])
    row = file.rows[position] | job
    return await replace_job(file, job_id, {k: v for k, v in row.items() if v is not None})


@app.delete(JOBS + "{job_id:path}", summary="Delete a job", status_code=204)
async def delete_job(file: File, job_id: str) -> None:
    position, job_id = file.find(job_id)
    file.save([*file.rows[:position], *file.rows[position + 1 :]])
    file.reports.pop(job_id, None)


class Announcer:
    """Announces changes: in the feed, and by a poke."""

    def __init__(self, feed: ChangeFeed, redis: Redis) -> None:
        self._feed = feed
        self._redis = redis

    def announce(self, ids: list[str] | None) -> None:
        """Announce that jobs changed. `ids` is None if it is not known which ones."""
        if ids == []:
            return
        if ids is None:
            self._feed.forget()
        else:
            self._feed.add(ids)
        poked = ids if ids and len(ids) <= MOST_POKED else ["*"]
        try:
            self._redis.lpush(keys.POKE, *poked)
        except RedisError as error:  # The next sync reads the change anyway.
            log.warning("poke.failed", error=str(error))


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
@click.option("--jobs", type=click.Path(dir_okay=False, path_type=Path), default="jobs.json")
def main(host: str, port: int, jobs: Path) -> None:
    """Serve the jobs of a file at /api/cronjobs/. The file is created from samples if missing."""
    settings = load()
    logs.configure(settings.log_format, settings.log_level, secrets=settings.secrets())
    redis = connect(settings.redis_url.get_secret_value())
    server = uvicorn.Server(
        uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False)
    )
    app.state.server, app.state.feed = server, ChangeFeed()
    app.state.file = JobFile(jobs, Announcer(app.state.feed, redis).announce)
    server.run()


if __name__ == "__main__":
    main()
