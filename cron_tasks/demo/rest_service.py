"""Serve jobs by REST, as cron_tasks reads them, for trying things out.

The jobs are in a file, which may be edited while the service runs. Clients can create, change and
delete jobs. After each change the service pokes cron_tasks by Redis, as any service can. It checks
only the ids of jobs, and leaves all else to cron_tasks.
"""

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import click
import structlog
import uvicorn
from fastapi import Body, Depends, FastAPI, Header, HTTPException, Request, Response
from redis.exceptions import RedisError

from cron_tasks.jobs.fingerprint import REMARKS
from cron_tasks.jobs.validation import row_id as identity
from cron_tasks.settings import load
from cron_tasks.store import keys
from cron_tasks.store.client import connect
from cron_tasks.telemetry import logs

log = structlog.get_logger("cron_tasks.demo.rest")

JOBS = "/api/cronjobs/"
SAMPLE = Path(__file__).with_name("jobs.json")


class JobFile:
    """The list of jobs in a JSON file, which is created from the sample if there is none.

    `changed` is called each time the file was saved. While the file is broken, `fault` is the
    reason, and `rows` is the last good list.
    """

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self.path = path
        self.rows: list[Any] = []
        self.fault: str | None = None
        #: Reports about jobs, by id. They are not in the file, because people edit that.
        self.reports: dict[str, dict[str, Any]] = {}
        self._text: bytes | None = None
        self._changed = changed
        if not path.exists():
            shutil.copyfile(SAMPLE, path)
        self.refresh()

    async def watch(self) -> None:
        """Read the file whenever it was saved."""
        while True:
            await asyncio.sleep(0.2)
            self.refresh()

    def refresh(self) -> None:
        """Read the file if it was saved since the last time."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:  # an editor is about to put the new one in its place
            return
        if text == self._text:
            return
        self._text, self.fault = text, None
        try:
            rows = json.loads(text)
        except ValueError as error:
            self.fault = f"{self.path} cannot be read: {error}"
        else:
            if not isinstance(rows, list):
                self.fault = f"{self.path} is not a list: jobs are objects between [ and ]"
        if self.fault:
            log.warning("jobs.broken_file", error=self.fault, served="the last good list")
        else:
            self.rows = rows
            self._changed()

    def save(self, rows: list[Any]) -> None:
        """Replace the list. Raises a 409 while the file is broken, to keep a person's edit."""
        if self.fault:
            raise HTTPException(409, self.fault)
        text = json.dumps(rows, ensure_ascii=False, indent=2)
        draft = self.path.with_name(f".{self.path.name}.new")
        draft.write_bytes(text.encode("utf-8", "backslashreplace") + b"\n")
        draft.replace(self.path)
        self.refresh()

    def rows_with_reports(self) -> list[Any]:
        """Return the rows, each with what was last reported about its job."""
        return [
            row | self.reports.get(identity(row) or "", {}) if isinstance(row, dict) else row
            for row in self.rows
        ]

    def find(self, job_id: str) -> int:
        """Return the position of a job in `rows`. Raises a 404 if there is none."""
        self.refresh()
        for position, row in enumerate(self.rows):
            if identity(row) == job_id:
                return position
        raise HTTPException(404, f"No job has the ID {job_id}")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    watching = asyncio.create_task(app.state.file.watch())
    yield
    watching.cancel()


async def _get_file(request: Request) -> Any:
    return request.app.state.file


app = FastAPI(title="Demo jobs for cron-tasks", version="1", lifespan=lifespan)
File = Annotated[JobFile, Depends(_get_file)]
Row = dict[str, Any]
Job = Annotated[Row, Body(examples=[{"name": "Every five seconds", "every": 5}])]
Known = Annotated[str | None, Header(alias="If-None-Match")]


@app.get(JOBS, summary="All jobs", response_model=list[Row])
async def list_jobs(file: File, known: Known = None) -> Response:
    if file.fault and not file.rows:
        raise HTTPException(503, file.fault)
    body = json.dumps(file.rows_with_reports())
    headers = {"ETag": f'"{hashlib.sha256(body.encode()).hexdigest()[:16]}"'}
    if known == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


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
    return file.rows_with_reports()[file.find(job_id)]


@app.put(JOBS + "{job_id:path}", summary="Replace a job")
async def replace_job(file: File, job_id: str, job: Job) -> Row:
    position, rows = file.find(job_id), [*file.rows]
    row = rows[position] = {"id": rows[position]["id"], **job}
    if identity(row) != job_id:
        raise HTTPException(422, "The ID of a job cannot change")
    file.save(rows)
    return row


@app.patch(JOBS + "{job_id:path}", summary="Change fields of a job (null removes one), or report")
async def change_job(file: File, job_id: str, job: Job) -> Row:
    position = file.find(job_id)
    if job.keys() <= REMARKS:
        file.reports[job_id] = file.reports.get(job_id, {}) | job
        return cast("Row", file.rows_with_reports()[position])
    row = file.rows[position] | job
    return await replace_job(file, job_id, {k: v for k, v in row.items() if v is not None})


@app.delete(JOBS + "{job_id:path}", summary="Delete a job", status_code=204)
async def delete_job(file: File, job_id: str) -> None:
    position = file.find(job_id)
    file.save([*file.rows[:position], *file.rows[position + 1 :]])
    file.reports.pop(job_id, None)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
@click.option("--jobs", type=click.Path(dir_okay=False, path_type=Path), default="jobs.json")
def main(host: str, port: int, jobs: Path) -> None:
    """Serve the jobs of a file at /api/cronjobs/. The file is created from samples if missing."""
    settings = load()
    logs.configure(settings.log_format, settings.log_level, secrets=settings.secrets())
    redis = connect(settings.redis_url.get_secret_value())

    def poke() -> None:
        try:
            redis.lpush(keys.POKE, "*")
        except RedisError as error:  # the next sync reads the change anyway
            log.warning("poke.failed", error=str(error))

    app.state.file = JobFile(jobs, poke)
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False)


if __name__ == "__main__":
    main()
