"""Requests for actions: the permission, the question before an action on many, and the trail."""

import orjson
import structlog
from redis.exceptions import RedisError
from tornado.web import HTTPError, authenticated

from cron_tasks.errors import CronTasksError
from cron_tasks.health.failures import describe_failure
from cron_tasks.pages.actions import VERBS, Done, Request, find_targets, perform
from cron_tasks.pages.context import Context, get_context
from cron_tasks.pages.handlers import Framed
from cron_tasks.runs.trail import record_action
from cron_tasks.text.english import number_of

log = structlog.get_logger("cron_tasks.pages")

#: The most characters of a message that is shown on the next page. It travels in a cookie.
MESSAGE = 400
#: The most targets that the question before an action names.
NAMED = 10


class Act(Framed):
    """Performs an action, and returns to the page from which the request came.

    A POST needs Flower's login and our token, and has to come from our own page
    (`check_xsrf_cookie`).
    """

    @authenticated
    async def post(self) -> None:
        if why := self.why_no_actions:
            raise HTTPError(403, why)
        request = self._read_request()
        back = self._read_way_back()
        try:
            targets = await self.call(find_targets, get_context(), request)
            if len(targets) > 1 and self.read_argument("confirmed") != str(len(targets)):
                self._ask(request, targets, back)
                return
            outcome = await self.call(_perform, get_context(), request, targets, self.person)
            self._go_back(back, "ok", outcome.text)
        except (CronTasksError, RedisError, OSError) as error:
            self._go_back(back, "fail", describe_failure(error) or str(error))

    def _read_request(self) -> Request:
        return Request(
            action=self.read_argument("action"),
            ids=[each for each in self.read_names("id") if each],
            every=self.read_argument("every") == "yes",
            query=self.read_argument("q"),
            tag=self.read_name("tag"),
            state=self.read_argument("state"),
            cause=self.read_name("cause"),
            reason=self.read_argument("reason"),
            start=self.read_argument("start"),
            end=self.read_argument("end"),
        )

    def _read_way_back(self) -> str:
        """Return the path of the page to return to, which is one of ours."""
        back = self.read_argument("back")
        ours = tuple(f"{self.prefix}/{name}" for name in ("health", "jobs", "upcoming"))
        is_ours = back.startswith(ours) and back.isprintable() and "\\" not in back
        return back if is_ours else f"{self.prefix}/health"

    def _ask(self, request: Request, targets: list[str], back: str) -> None:
        noun = "run" if request.action in ("retry", "cancel", "recover") else "job"
        question = f"{VERBS.get(request.action, request.action)} {number_of(len(targets), noun)}?"
        self.show(
            "cron_confirm.html",
            question=question,
            request_for=request,
            targets=targets[:NAMED],
            count=len(targets),
            back=back,
        )

    def _go_back(self, back: str, level: str, text: str) -> None:
        text = text[:1].upper() + text[1:MESSAGE]
        message = orjson.dumps([level, text])
        path = f"{self.prefix}/"
        self.set_signed_cookie(
            "cron_flash", message, expires_days=None, path=path, httponly=True, samesite="Strict"
        )
        self.redirect(back, status=303)


def _perform(context: Context, request: Request, targets: list[str], who: str) -> Done:
    """Perform an action, and record who requested it."""
    outcome = perform(context, request, targets)
    record_action(context.redis, who, "flower", request.action, outcome.ids, outcome.detail)
    log.info(
        "action.by_hand",
        who=who,
        action=request.action,
        count=len(outcome.ids),
        ids=list(outcome.ids[:NAMED]),
        detail=outcome.detail,
    )
    return outcome
