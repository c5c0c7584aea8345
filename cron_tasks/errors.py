"""One tree of errors: what is raised on purpose, and told to people in a sentence."""

from collections.abc import Iterable

from cron_tasks.text.display import printable


class CronTasksError(Exception):
    """Base of every error raised on purpose; its text is one sentence for a person."""


class SettingsError(CronTasksError):
    """A setting is missing or wrong; the text names its variable."""


class ScheduleError(CronTasksError, ValueError):
    """A schedule is wrong. `errors` lists every fault as (field, message)."""

    def __init__(self, errors: Iterable[tuple[str, str]]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{field}: {message}" for field, message in self.errors))


class SourceError(CronTasksError):
    """The list of jobs could not be read whole."""


class UnknownJob(CronTasksError):
    """No job has this id."""


class RunUnfit(CronTasksError):
    """A run is unknown, or not in a state for what was asked of it."""


class ActionFailed(CronTasksError):
    """An action could not do its work; the text is what people are told.

    One that is not `permanent` may be tried again, at the earliest after `retry_after` seconds;
    `output` is what the action has to show for it.
    """

    def __init__(
        self,
        text: str,
        *,
        permanent: bool,
        retry_after: float | None = None,
        output: str | None = None,
    ) -> None:
        super().__init__(text)
        self.permanent = permanent
        self.retry_after = retry_after
        self.output = output


def described(error: BaseException, limit: int = 500) -> str:
    """Return `error` as one printable line of at most `limit` characters: its type and its text.

    The errors raised on purpose here are sentences, so their type is left out.
    """
    kind = type(error).__name__
    try:
        text = str(error)
    except BaseException:
        text = "its text cannot be shown"
    if isinstance(error, CronTasksError) and text:
        return printable(text, limit)
    return printable(f"{kind}: {text}" if text else kind, limit)


class WriteRefused(Exception):
    """A script changed nothing, because its caller no longer holds what its write needs."""


class Stopped(BaseException):
    """Raised inside an action that has to end. Code that catches every Exception lets it pass."""
