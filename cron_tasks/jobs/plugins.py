"""Actions of other distributions: the class that they extend, and how they are found.

A distribution offers an action under the entry point group `cron_tasks.actions`. The name of the
entry point is the type that jobs name, and its object is a subclass of CustomAction. A plug-in that
cannot be used affects only the jobs that name it: they are rejected with the reason.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import ValidationError, create_model, model_validator

from cron_tasks.errors import describe_error
from cron_tasks.jobs.fields import JobPart
from cron_tasks.jobs.run import Run
from cron_tasks.text.display import printable

if TYPE_CHECKING:
    from cron_tasks.settings import Settings

GROUP = "cron_tasks.actions"
#: Types that no plug-in can take.
BUILT_IN = ("notify", "http", "task")


class CustomAction(JobPart, ABC):
    """The base of an action. Its fields are those of a job's `action`, validated at sync."""

    type: str

    @abstractmethod
    def perform(self, run: Run, settings: "Settings") -> Any:
        """Do the work in at most `run.job.timeout` seconds, and return the output.

        It may be a coroutine (`async def perform`). Then it waits on the event loop of its process
        beside thousands of others, so it must not block.

        The first 4 kB of the output are kept: a text as it is, anything else as JSON.
        Raises ActionFailed, or anything else, if the work could not be done. May be called again
        for the same run id after a worker died.
        """


def load_models() -> dict[str, type[JobPart]]:
    """Return the models of the installed actions, by type.

    An action that cannot be used has a stand-in, which rejects each job that names it.
    """
    return _load_plugins()[0]


def unusable_reasons() -> dict[str, str]:
    """Return why plug-ins cannot be used, by the type of their action."""
    return _load_plugins()[1]


@cache
def _load_plugins() -> tuple[dict[str, type[JobPart]], dict[str, str]]:
    offers: dict[str, set[EntryPoint]] = defaultdict(set)
    for point in entry_points(group=GROUP):
        offers[point.name].add(point)
    models: dict[str, type[JobPart]] = {}
    reasons: dict[str, str] = {}
    for name, points in sorted(offers.items()):
        try:
            models[name] = _load_model(name, points)
        except KeyboardInterrupt:
            raise  # This is Ctrl-C.
        except BaseException as error:
            from_where = printable(", ".join(sorted(point.value for point in points)))
            reasons[name] = (
                f"the plug-in {from_where} for it cannot be used: {describe_error(error, 300)}"
            )
            if name not in BUILT_IN:
                models[name] = _make_stand_in(name, reasons[name])
    return models, reasons


def _load_model(name: str, points: set[EntryPoint]) -> type[JobPart]:
    if name in BUILT_IN:
        raise ValueError("this type is built in")
    point, *others = points
    if others:
        raise ValueError("several distributions offer this type")
    found = point.load()
    if not (isinstance(found, type) and issubclass(found, CustomAction)):
        raise TypeError("it is not a subclass of cron_tasks.plugins.CustomAction")
    if isabstract(found):
        raise TypeError("it does not define `perform`")
    return _make_model(name, found, {"guarded": _GUARD})


def _reject_on_error(value: Any, handler: Any) -> Any:
    """Reject a row for which a plug-in's validator fails. The other rows are not affected."""
    try:
        return handler(value)
    except (ValidationError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise ValueError(f"its plug-in could not read it: {describe_error(error, 300)}") from None


_GUARD: Any = model_validator(mode="wrap")(cast("Any", _reject_on_error))


def _make_stand_in(name: str, reason: str) -> type[JobPart]:
    def refuse(_: Any) -> Any:
        raise ValueError(reason)

    return _make_model(name, JobPart, {"refuse": model_validator(mode="before")(refuse)})


def _make_model(name: str, base: type[JobPart], validators: Any = None) -> type[JobPart]:
    field: Any = (Literal[name], ...)
    return create_model(base.__name__, __base__=base, __validators__=validators, type=field)
