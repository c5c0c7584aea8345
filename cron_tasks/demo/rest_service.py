"""A REST service such as cron_tasks reads, for trying things out.

    python -m cron_tasks.demo.rest_service --jobs jobs.json

It serves the jobs of a file, which may be edited while it runs, and lets clients create, change and
delete them. Like any service that knows cron_tasks, it pokes it by Redis after each change. What a
job means is none of its business: only ids are checked.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import click
import structlog
import uvicorn
from fastapi import Body, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from redis.exceptions import RedisError

from cron_tasks import logs
from cron_tasks.demo.job_file import BrokenFile, JobFile, Row
from cron_tasks.redis_client import connect
from cron_tasks.settings import load

log = structlog.get_logger("cron_tasks.demo.rest")

JOBS = "/api/cronjobs/"
#: Seconds between two looks at the file.
LOOK = 0.2

_EXAMPLE = {"name": "Every five seconds", "every": 5}
Job = Annotated[Row, Body(examples=[_EXAMPLE])]


def create_app(file: JobFile, poke: Callable[[], None]) -> FastAPI:
    """The service of `file`; `poke` tells cron_tasks of a change."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(look, file, poke)
        watching = asyncio.create_task(watch(file, poke))
        yield
        watching.cancel()

    app = FastAPI(title="Demo jobs for cron-tasks", version="1", lifespan=lifespan)
    app.add_exception_handler(BrokenFile, _conflict)

    def save(edit: Callable[[list[Row]], Row]) -> Row:
        row = file.change(edit)
        file.refresh()
        poke()
        return row

    @app.get("/", include_in_schema=False)
    def home() -> RedirectResponse:
        return RedirectResponse("/docs")

    @app.get(JOBS, summary="All jobs", response_model=list[Row])
    def get_jobs(if_none_match: Annotated[str | None, Header()] = None) -> Response:
        if (body := file.body) is None:
            raise HTTPException(503, f"{file.path} holds no list of jobs yet")
        headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"'}
        if if_none_match == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    @app.post(JOBS, summary="Create a job", status_code=201)
    def create(job: Job, response: Response) -> Row:
        row = save(lambda rows: _create(rows, job))
        response.headers["Location"] = JOBS + quote(str(row["id"]), safe="")
        return row

    @app.get(JOBS + "{job_id:path}", summary="One job")
    def get_job(job_id: str) -> Row:
        rows = file.rows
        return rows[_position(rows, job_id)]

    @app.put(JOBS + "{job_id:path}", summary="Replace a job")
    def replace(job_id: str, job: Job) -> Row:
        return save(lambda rows: _replace(rows, job_id, lambda _: job))

    @app.patch(JOBS + "{job_id:path}", summary="Change fields of a job; null removes one")
    def change(job_id: str, job: Job) -> Row:
        return save(lambda rows: _replace(rows, job_id, lambda old: _merged(old, job)))

    @app.delete(JOBS + "{job_id:path}", summary="Delete a job", status_code=204)
    def delete(job_id: str) -> None:
        save(lambda rows: rows.pop(_position(rows, job_id)))

    return app


async def watch(file: JobFile, poke: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(LOOK)
        await asyncio.to_thread(look, file, poke)


def look(file: JobFile, poke: Callable[[], None]) -> None:
    """Poke if the file was saved with another list."""
    try:
        if file.refresh():
            log.info("jobs.read", file=str(file.path))
            poke()
    except BrokenFile as error:
        log.warning("jobs.broken_file", error=str(error), served="the last good list")


def _conflict(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=409)


def _position(rows: list[Row], job_id: str) -> int:
    for position, row in enumerate(rows):
        if isinstance(row, dict) and str(row.get("id")) == job_id:
            return position
    raise HTTPException(404, f"no job has the id {job_id}")


def _checked_id(job_id: Any) -> int | str:
    if isinstance(job_id, int) and not isinstance(job_id, bool):
        return job_id
    if isinstance(job_id, str) and 0 < len(job_id) <= 200 and job_id.isprintable():
        return job_id
    raise HTTPException(422, "id is a whole number, or text of 1 to 200 printable characters")


def _create(rows: list[Row], job: Row) -> Row:
    taken = [row.get("id") for row in rows if isinstance(row, dict)]
    numbers = [job_id for job_id in taken if isinstance(job_id, int)]
    row = {"id": max(numbers, default=0) + 1, **job}
    if str(_checked_id(row["id"])) in map(str, taken):
        raise HTTPException(409, f"a job has the id {row['id']} already")
    rows.append(row)
    return row


def _replace(rows: list[Row], job_id: str, edit: Callable[[Row], Row]) -> Row:
    position = _position(rows, job_id)
    old = rows[position]
    row = {"id": old["id"], **edit(old)}
    if str(_checked_id(row["id"])) != job_id:
        raise HTTPException(422, "the id of a job cannot change")
    rows[position] = row
    return row


def _merged(old: Row, patch: Row) -> Row:
    """RFC 7396, one level deep."""
    return {key: value for key, value in {**old, **patch}.items() if value is not None}


def poker() -> Callable[[], None]:
    """Tells cron_tasks, by Redis, that the jobs have changed; without Redis, it will see later."""
    redis = connect(load().redis_url.get_secret_value())

    def poke() -> None:
        try:
            redis.lpush("cron_tasks:poke", "*")
        except RedisError as error:
            log.warning("poke.failed", error=str(error))

    return poke


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
@click.option(
    "--jobs",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("jobs.json"),
    show_default=True,
    help="Made with sample jobs if there is none.",
)
def main(host: str, port: int, jobs: Path) -> None:
    """Serve the jobs of a file at /api/cronjobs/."""
    settings = load()
    logs.configure(settings.log_format, settings.log_level, secrets=settings.secrets())
    app = create_app(JobFile(jobs), poker())
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False)


if __name__ == "__main__":
    main()
