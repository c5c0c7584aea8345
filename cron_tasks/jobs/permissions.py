"""The permissions of jobs: tasks to call, hosts to reach, secrets to use. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from cron_tasks.http.addresses import explain_host_refusal
from cron_tasks.http.hosts import host_of_url
from cron_tasks.jobs.actions import AnyAction, HttpAction, TaskAction
from cron_tasks.text.display import short_repr
from cron_tasks.text.suggestions import find_nearest

#: The prefixes of our tasks and of Celery's own, such as `celery.map`, which could call any other.
RESERVED_TASKS = ("cron_tasks.", "celery.")


@dataclass(frozen=True, slots=True)
class Permissions:
    """The settings TASKS_ALLOW and HTTP_ALLOW, and the names of the secrets that jobs may use."""

    tasks: tuple[str, ...] = ()
    http: tuple[str, ...] = ()
    secrets: frozenset[str] = frozenset()

    @property
    def fingerprint_salt(self) -> str:
        """Return a text that changes with the permissions. It is empty for the default ones."""
        if self == Permissions():
            return ""
        return f" {self.tasks} {self.http} {sorted(self.secrets)}"

    def allows_task(self, name: str) -> bool:
        return not name.startswith(RESERVED_TASKS) and any(
            fnmatchcase(name, pattern) for pattern in self.tasks
        )

    def find_faults(self, action: AnyAction) -> Iterator[tuple[str, str]]:
        """Yield (field, message) for each part of the action that is not permitted."""
        match action:
            case TaskAction() if not self.allows_task(action.name):
                yield (
                    "action.name",
                    f"jobs may not call the task {short_repr(action.name)}; "
                    "CRON_TASKS_TASKS_ALLOW lists the permitted tasks",
                )
            case HttpAction():
                if why := explain_host_refusal(action.host, self.http):
                    yield "action.url", f"{why}, which CRON_TASKS_HTTP_ALLOW does not allow"
                for field, name in dict.fromkeys(action.secret_references):
                    if name not in self.secrets:
                        yield f"action.{field}", self._describe_unknown_secret(name)

    def find_heartbeat_faults(self, url: str) -> Iterator[tuple[str, str]]:
        """Yield (field, message) if pings may not reach the host of a `heartbeat_url`."""
        if why := explain_host_refusal(host_of_url(urlsplit(url)), self.http):
            yield "heartbeat_url", f"{why}, which CRON_TASKS_HTTP_ALLOW does not allow"

    def _describe_unknown_secret(self, name: str) -> str:
        near = find_nearest(name, self.secrets)
        hint = f"did you mean {near}?" if near else "add it to the folder CRON_TASKS_SECRETS_DIR"
        return f"jobs have no secret {short_repr(name)}; {hint}"


#: The permissions of every job when the operator has set none.
NO_PERMISSIONS = Permissions()
