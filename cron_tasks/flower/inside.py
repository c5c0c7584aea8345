"""Add our pages and rules to Flower 2.2. This is the only module that reaches inside Flower.

It relies on the following internals. `tests/test_flower.py` checks the version for them:

- `flower.urls.handlers` and `settings`, from which Flower makes its tornado application after it
  has imported the app. Only a `tornado.web.url` keeps its arguments under a `url_prefix`.
- `BaseHandler`, which checks the login. Its check of cross-site requests is off without a login,
  and its `get_argument` escapes HTML, so both are replaced. `set_default_headers` of all its pages.
- `navbar.html`, in which our links come before the end of the first list.
- `options.format_task`, which changes how Flower shows a task.
"""

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from celery.signals import import_modules
from flower.urls import handlers, settings
from flower.views import BaseHandler
from tornado.options import options as given
from tornado.template import Loader, Template
from tornado.web import HTTPError, RequestHandler, StaticFileHandler, url

from cron_tasks.flower.access import HostCheck, find_fault, has_login

FormatTask = Callable[[Any], Any]


def extend_flower(
    pages: Sequence[tuple[str, type[RequestHandler], str]],
    folder: Path,
    links: Mapping[str, str],
    format_task: FormatTask,
) -> None:
    """Guard the Flower that this process is about to start, and add pages to it.

    Call it while the app is imported. `pages` are (pattern, class, name). `folder` holds
    `templates` and `static`. `links` are the names of the pages in the navigation, with their
    texts. `format_task` gets each task that Flower shows, after the operator's own function.

    Flower parses its options after it has imported the app, and then imports the app's tasks before
    it listens. So the options are checked when the tasks are imported.
    """
    static = {"path": str(folder / "static")}
    ours = [url(pattern, handler, name=name) for pattern, handler, name in pages]
    ours.append(url(r"/cron-tasks/static/(.*)", StaticFileHandler, static, name="cron-static"))
    handlers[-1:-1] = ours
    handlers.insert(0, url(".*", HostCheck(given)))
    settings["template_loader"] = _Templates(folder / "templates", settings["template_path"], links)

    def before_start(**_: object) -> None:
        if (text := find_fault(given)) is not None:
            raise SystemExit(text)
        given.format_task = _chain(given.format_task, format_task)

    import_modules.connect(before_start, weak=False)
    _forbid_frames()


def _forbid_frames() -> None:
    """Forbid all sites to show a page of Flower in a frame, where a person might click on it
    unawares."""
    set_flowers_headers = BaseHandler.set_default_headers

    def set_default_headers(self: Any) -> None:
        set_flowers_headers(self)
        self.set_header("X-Frame-Options", "DENY")

    BaseHandler.set_default_headers = set_default_headers


def _chain(first: FormatTask | None, second: FormatTask) -> FormatTask:
    def format_task(task: Any) -> Any:
        return second(first(task) if first else task)

    return format_task


class _Templates(Loader):
    """Finds our templates before Flower's, and adds our links to Flower's navigation."""

    _LINK = (
        '<li class="nav-item">'
        '<a class="nav-link{{% if active_tab == "{name}" %}} active{{% end %}}"'
        ' href="{{{{ reverse_url("{name}") }}}}"'
        ' {{% if active_tab == "{name}" %}}aria-current="page"{{% end %}}>{text}</a></li>\n'
    )

    def __init__(self, ours: Path, flowers: str, links: Mapping[str, str]) -> None:
        super().__init__(flowers)
        self._ours = ours
        self._links = "".join(self._LINK.format(name=name, text=links[name]) for name in links)

    def _create_template(self, name: str) -> Template:
        ours = self._ours / name
        text = (ours if ours.exists() else Path(self.root, name)).read_text("utf-8")
        if name == "navbar.html":
            text = text.replace("</ul>", self._links + "</ul>", 1)
        return Template(text, name=name, loader=self)


class FlowerHandler(BaseHandler):
    """A handler of Flower, behind its login."""

    @property
    def prefix(self) -> str:
        """The prefix of every path of this Flower: "" or `/flower`."""
        stripped = (given.url_prefix or "").strip("/")
        return f"/{stripped}" if stripped else ""

    @property
    def why_no_actions(self) -> str:
        """Why this Flower allows no actions to anybody, or an empty string."""
        if given.read_only:
            return "This Flower is read-only (--read-only)"
        if not has_login(given):
            return "Actions need a login: start Flower with --basic-auth=me:secret"
        return ""

    @property
    def person(self) -> str:
        """The name of the person who makes this request. Use it only behind the login."""
        if isinstance(self.current_user, str):
            return self.current_user
        try:
            credentials = self.request.headers["Authorization"].split(" ", 1)[1]
            return b64decode(credentials).decode().partition(":")[0]
        except (LookupError, ValueError):
            return "somebody"

    def read_argument(self, name: str, default: str = "") -> str:
        """Return an argument of the request as it came, without surrounding white space."""
        return RequestHandler.get_argument(self, name, default)

    def read_name(self, name: str) -> str:
        """Return an argument of the request unchanged, because it is a name that a page has
        shown."""
        return RequestHandler.get_argument(self, name, "", strip=False)

    def read_names(self, name: str) -> list[str]:
        """Return all values of an argument of the request, unchanged."""
        return RequestHandler.get_arguments(self, name, strip=False)

    def check_xsrf_cookie(self) -> None:
        """Refuse a POST from another site, or without our token, whatever login Flower has."""
        headers = self.request.headers
        site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
        if site and site != "same-origin":
            raise HTTPError(403, "this request came from another site")
        if origin and urlsplit(origin).netloc != self.request.host:
            raise HTTPError(403, "this request came from another origin")
        RequestHandler.check_xsrf_cookie(self)
