"""Actions of other distributions: what they build on, and how they are found.

A distribution offers an action under the entry point group `cron_tasks.actions`; the entry point's
name is the type that jobs name, its object a subclass of CustomAction. One that cannot be used
harms nothing but the jobs that name it: they are rejected with the reason.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract, iscoroutinefunction
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import ValidationError, create_model, model_validator

from cron_tasks.errors import describe_error
from cron_tasks.jobs.fields import Policy
from cron_tasks.jobs.run import Run
from cron_tasks.text.display import printable

if TYPE_CHECKING:
    from cron_tasks.settings import Settings

GROUP = "cron_tasks.actions"
#: Types that no plug-in can take.
BUILT_IN = ("notify", "http", "task")


class CustomAction(Policy, ABC):
    """Base of an action: its fields are those of a job's `action`, validated at sync."""

    type: str

    @abstractmethod
    def perform(self, run: Run, settings: "Settings") -> Any:
        """Do the work in at most `run.job.timeout` seconds, and return the output.

        The first 4 kB of it are kept: a text as it is, anything else as JSON.
        Raises ActionFailed, or anything else, when it could not. May be called again for the same
        run id after a worker died.
        """


def installed() -> dict[str, type[Policy]]:
    """The models of the actions that are installed, by type; of an unusable one a stand-in."""
    return _found()[0]


def unusable() -> dict[str, str]:
    """Return why a plug-in cannot be used, by the type of its action."""
    return _found()[1]


@cache
def _found() -> tuple[dict[str, type[Policy]], dict[str, str]]:
    offers: dict[str, set[EntryPoint]] = defaultdict(set)
    for point in entry_points(group=GROUP):
        offers[point.name].add(point)
    models: dict[str, type[Policy]] = {}
    reasons: dict[str, str] = {}
    for name, points in sorted(offers.items()):
        try:
            models[name] = _model(name, points)
        except KeyboardInterrupt:
            raise  # A person's Ctrl-C.
        except BaseException as error:
            from_where = printable(", ".join(sorted(point.value for point in points)))
            reasons[name] = (
                f"the plug-in {from_where} for it cannot be used: {describe_error(error, 300)}"
            )
            if name not in BUILT_IN:
                models[name] = _stand_in(name, reasons[name])
    return models, reasons


def _model(name: str, points: set[EntryPoint]) -> type[Policy]:
    if name in BUILT_IN:
        raise ValueError("this type is built in")
    point, *others = points
    if others:
        raise ValueError("several distributions offer this type")
    found = point.load()
    if not (isinstance(found, type) and issubclass(found, CustomAction)):
        raise TypeError("it is no subclass of cron_tasks.plugins.CustomAction")
    if isabstract(found):
        raise TypeError("it has no `perform`")
    if iscoroutinefunction(found.perform):
        raise TypeError("its `perform` is asynchronous; call `asyncio.run` in a plain one")
    return _typed(name, found, {"guarded": _GUARD})


def _guarded(value: Any, handler: Any) -> Any:
    """Reject the row over which a plug-in's own validator fails; the others are read on."""
    try:
        return handler(value)
    except (ValidationError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise ValueError(f"its plug-in could not read it: {describe_error(error, 300)}") from None


_GUARD: Any = model_validator(mode="wrap")(cast("Any", _guarded))


def _stand_in(name: str, reason: str) -> type[Policy]:
    def refuse(_: Any) -> Any:
        raise ValueError(reason)

    return _typed(name, Policy, {"refuse": model_validator(mode="before")(refuse)})


def _typed(name: str, base: type[Policy], validators: Any = None) -> type[Policy]:
    field: Any = (Literal[name], ...)
    return create_model(base.__name__, __base__=base, __validators__=validators, type=field)
