"""The errors that are raised on purpose. Each has one sentence for a person."""

from collections.abc import Iterable

from cron_tasks.text.display import printable


class CronTasksError(Exception):
    """The base of every error that is raised on purpose. Its text is one sentence for a person."""


class SettingsError(CronTasksError):
    """A setting is missing or wrong. The text names its variable."""


class ScheduleError(CronTasksError, ValueError):
    """A schedule is wrong. `errors` lists every fault as (field, message)."""

    def __init__(self, errors: Iterable[tuple[str, str]]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{field}: {message}" for field, message in self.errors))


class SourceError(CronTasksError):
    """The complete list of jobs could not be read."""


class SourceLate(SourceError):
    """The list of jobs did not arrive within its deadline."""


class UnknownJob(CronTasksError):
    """No job has this id."""


class RunUnfit(CronTasksError):
    """A run is unknown, or its state does not allow the command."""


class ActionFailed(CronTasksError):
    """An action failed. The text is shown to people.

    Unless it is `permanent`, the action may be tried again, after `retry_after` seconds at the
    earliest. `output` is what the action produced.
    """

    # A plug-in's subclass may not call this `__init__`.
    permanent = False
    retry_after: float | None = None
    output: str | None = None

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


def describe_error(error: BaseException, limit: int = 500) -> str:
    """Return `error` as one printable line of at most `limit` characters: its type and its text.

    The errors of this module are sentences, so their type is left out.
    """
    kind, text = type(error).__name__, read_text(error)
    if isinstance(error, CronTasksError) and text:
        return printable(text, limit)
    return printable(f"{kind}: {text}" if text else kind, limit)


def read_text(error: BaseException) -> str:
    """Return the text of any error, even of one whose `__str__` raises."""
    try:
        return str(error)
    except BaseException:
        return "its text cannot be shown"


class WriteRefused(Exception):
    """A script changed nothing, because its caller no longer holds the lock for writing."""


class Stopped(BaseException):
    """Raised inside an action that has to end. Code that catches every Exception lets it pass."""
