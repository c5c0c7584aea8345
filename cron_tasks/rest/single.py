"""Read single rows of the REST service, at CRON_TASKS_REST_JOB_PATH."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from cron_tasks.errors import SourceError
from cron_tasks.jobs.row import row_id
from cron_tasks.rest.failures import JOB_HINTS
from cron_tasks.rest.files import path_of
from cron_tasks.rest.mapping import Shape
from cron_tasks.rest.pages import Fetcher
from cron_tasks.rest.rows import Document, Malformed
from cron_tasks.rest.skim import LONGEST
from cron_tasks.settings import Settings

#: The fields in which a service may wrap a single row.
_WRAPPERS = ("job", "data", "result", "item")
_WRAPPED_AT_MOST = 3


def read_jobs(settings: Settings, ids: Sequence[str]) -> list[tuple[str, Any]]:
    """Return the rows with these ids under the contract's names, each as `("job 42", {…})`.

    REST_DEADLINE applies to all of them together. Raises SourceError at the first one that does not
    arrive. A missing row is such a case.
    """
    if path_of(settings) is not None:
        raise SourceError("jobs from files are read as a whole")
    shape = Shape(settings.rest_mapping or {})
    fetcher = Fetcher(settings, "the job", JOB_HINTS)
    try:
        if not shape.maps_rows_alone:
            raise fetcher.make_error("`jobs` of CRON_TASKS_REST_MAPPING applies to the list only")
        return [(f"job {each}", _read_job(fetcher, shape, settings, each)) for each in ids]
    finally:
        fetcher.close()


def _read_job(fetcher: Fetcher, shape: Shape, settings: Settings, job_id: str) -> Any:
    fetcher.page = 0
    fetcher.fetch_page(fetcher.base + _path_of(settings, job_id), {})
    if fetcher.size > LONGEST:
        raise fetcher.make_error(f"the row is longer than {LONGEST:,} bytes")
    try:
        found = find_row(shape, Document(fetcher.body).read_whole(), job_id)
    except Malformed as error:
        raise fetcher.make_error(f"the answer {error}") from None
    if found is None:
        raise fetcher.make_error("the answer is not the row with this id")
    return found


def _path_of(settings: Settings, job_id: str) -> str:
    """Return the path of a job. The default is a folder of the list, before its query."""
    template, listed = settings.rest_job_path, settings.rest_jobs_path
    if template.startswith("{REST_JOBS_PATH}"):
        path, question, query = listed.partition("?")
        rest = template.removeprefix("{REST_JOBS_PATH}")
        template = f"{path.rstrip('/')}/{rest.lstrip('/')}{question}{query}"
    return template.replace("{id}", quote(job_id, safe=""))


def find_row(shape: Shape, value: Any, job_id: str) -> Any:
    """Return the row with this id: the value itself, or an object that it wraps."""
    for _ in range(_WRAPPED_AT_MOST):
        if not isinstance(value, dict):
            return None
        row = shape.map_row(value)
        if row_id(row) == job_id:
            return row
        value = next((value[name] for name in _WRAPPERS if name in value), None)
    return None
