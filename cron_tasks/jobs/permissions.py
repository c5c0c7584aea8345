"""What the operator lets jobs do: tasks to call, hosts to reach, secrets to use. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cron_tasks.http.addresses import refused_host
from cron_tasks.jobs.actions import AnyAction, HttpAction, TaskAction
from cron_tasks.text.display import short_repr
from cron_tasks.text.suggestions import find_nearest

#: Ours and Celery's own tasks, such as `celery.map`, which could call any other.
RESERVED = ("cron_tasks.", "celery.")


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings TASKS_ALLOW and HTTP_ALLOW, and the names of the secrets that jobs may use."""

    tasks: tuple[str, ...] = ()
    http: tuple[str, ...] = ()
    secrets: frozenset[str] = frozenset()

    @property
    def salt(self) -> str:
        """What changes with the limits; nothing for the default."""
        return "" if self == Limits() else f" {self.tasks} {self.http} {sorted(self.secrets)}"

    def allows_task(self, name: str) -> bool:
        return not name.startswith(RESERVED) and any(
            fnmatchcase(name, pattern) for pattern in self.tasks
        )

    def faults(self, action: AnyAction) -> Iterator[tuple[str, str]]:
        """(field, message) for all of the action that is not allowed."""
        match action:
            case TaskAction() if not self.allows_task(action.name):
                yield (
                    "action.name",
                    f"jobs may not call the task {short_repr(action.name)}; "
                    "CRON_TASKS_TASKS_ALLOW names those that they may",
                )
            case HttpAction():
                if why := refused_host(action.host, self.http):
                    yield "action.url", f"{why}, which CRON_TASKS_HTTP_ALLOW does not allow"
                for field, name in dict.fromkeys(action.secrets):
                    if name not in self.secrets:
                        yield f"action.{field}", self._unknown(name)

    def _unknown(self, name: str) -> str:
        near = find_nearest(name, self.secrets)
        hint = f"did you mean {near}?" if near else "CRON_TASKS_SECRETS_DIR is their folder"
        return f"jobs have no secret {short_repr(name)}; {hint}"
