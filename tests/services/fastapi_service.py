"""Jobs served by FastAPI and fastapi-pagination, with each of its styles of pages, and with logins.

Run it with uvicorn, as `fastapi_service:app`.
"""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi_pagination import LimitOffsetPage, Page, add_pagination, links, paginate
from fastapi_pagination.cursor import CursorPage
from fastapi_pagination.customization import (
    CustomizedPage,
    UseExcludedFields,
    UseFieldsAliases,
    UseIncludeTotal,
    UseResponseHeaders,
)
from fastapi_pagination.ext.sqlalchemy import paginate as paginate_query
from fastapi_pagination.optional import OptionalLimitOffsetPage, OptionalPage
from pydantic import BaseModel, ConfigDict
from sqlalchemy import StaticPool, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

ROWS = 60
TOKEN, KEY = "bearer-t0ken", "k3y-of-a-client"


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    cron_expression: Mapped[str]


class Job(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    name: str
    cron_expression: str = "0 9 * * *"


engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
Base.metadata.create_all(engine)
JOBS = [Job(id=number, name=f"Job {number}") for number in range(1, ROWS + 1)]
with Session(engine) as session, session.begin():
    session.add_all(Row(**job.model_dump()) for job in JOBS)


def count(page: Any) -> dict[str, str]:
    return {"X-Total-Count": str(page.total)}


def content_range(page: Any) -> dict[str, str]:
    first = (page.page - 1) * page.size
    last = first + len(page.items) - 1
    return {"Content-Range": f"jobs {first}-{last}/{page.total}"}


#: Pages of a list in memory.
PAGES: dict[str, Any] = {
    "page": Page[Job],
    "offset": LimitOffsetPage[Job],
    "links": links.Page[Job],
    "offset-links": links.LimitOffsetPage[Job],
    "header": CustomizedPage[Page[Job], links.UseHeaderLinks()],
    "offset-header": CustomizedPage[LimitOffsetPage[Job], links.UseLimitOffsetHeaderLinks()],
    "optional": OptionalPage[Job],
    "optional-offset": OptionalLimitOffsetPage[Job],
    "aliases": CustomizedPage[Page[Job], UseFieldsAliases(items="data", total="count")],
    "no-pages": CustomizedPage[Page[Job], UseExcludedFields("pages")],
    "no-total": CustomizedPage[Page[Job], UseExcludedFields("total", "pages")],
    "only-total": CustomizedPage[Page[Job], UseExcludedFields("page", "pages", "size")],
    "only-items": CustomizedPage[
        Page[Job], UseExcludedFields("total", "page", "pages", "size"), UseResponseHeaders(count)
    ],
    "range": CustomizedPage[
        Page[Job],
        UseExcludedFields("total", "page", "pages", "size"),
        UseResponseHeaders(content_range),
    ],
}
#: Pages of a table.
QUERIES: dict[str, Any] = {
    "cursor": CursorPage[Job],
    "uncounted": CustomizedPage[Page[Job], UseIncludeTotal(False)],
    "uncounted-offset": CustomizedPage[LimitOffsetPage[Job], UseIncludeTotal(False)],
    "uncounted-cursor": CustomizedPage[CursorPage[Job], UseIncludeTotal(False)],
}

app = FastAPI()
app.add_middleware(GZipMiddleware, minimum_size=200)


def add_list(name: str, page: Any) -> None:
    @app.get(f"/api/{name}/", response_model=page, name=name)
    def list_jobs() -> Any:
        return paginate(JOBS)


def add_query(name: str, page: Any) -> None:
    @app.get(f"/api/{name}/", response_model=page, name=name)
    def list_jobs() -> Any:
        with Session(engine) as session:
            return paginate_query(session, select(Row).order_by(Row.id))


for name, page in PAGES.items():
    add_list(name, page)
for name, page in QUERIES.items():
    add_query(name, page)


@app.get("/api/bearer/")
def list_for_bearer(given: Annotated[Any, Depends(HTTPBearer())]) -> list[Job]:
    if given.credentials != TOKEN:
        raise HTTPException(403, "This token is not valid here")
    return JOBS


@app.get("/api/key/")
def list_for_key(key: Annotated[str, Depends(APIKeyHeader(name="X-Api-Key"))]) -> list[Job]:
    if key != KEY:
        raise HTTPException(403, "This key is not valid here")
    return JOBS


add_pagination(app)
