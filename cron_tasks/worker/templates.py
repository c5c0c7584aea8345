"""Caches the notifications of plain jobs from one batch to the next.

As long as the number of the registry's last edit does not change, known jobs are not read. No
number stands for two edits, even if Redis loses data (count_edit.lua). Jobs that are due together
often are so again, so the groups of a batch are kept, too.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import orjson
from redis import Redis

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.batch import Batch
from cron_tasks.ledger.batches import Told
from cron_tasks.ledger.run_id import RunId
from cron_tasks.registry.documents import read_documents
from cron_tasks.runs.notifications import (
    add_traceparent,
    fill_templates,
    make_default_template,
    make_template,
    write_notification,
)
from cron_tasks.runs.prepared import read_prepared
from cron_tasks.schedules.quick import has_quick_rule
from cron_tasks.settings import Settings
from cron_tasks.store.caches import drop_oldest
from cron_tasks.tracing.tracer import find_tracer

#: The most jobs that are known. Each takes about a kilobyte.
MOST = 100_000
#: The most batches whose groups are kept.
MOST_GROUPED = 64


@dataclass(slots=True)
class Known:
    """The notification of a job that ends ok, as of the registry's edit `seen`.

    The job's own last edit was `edit`. The queue is "" if nobody is notified. A job whose text
    depends on the fire time in more than one way has no template: its notifications are written one
    by one. A `quick` job has more than one fire time in a minute.
    """

    edit: str
    seen: int
    queue: str
    template: bytes
    job: Job | None
    quick: bool


@dataclass(slots=True)
class Group:
    """The jobs of a batch that have one queue, and are all `quick` or all not.

    `singles` are the jobs without a template, each by its place among the others.
    """

    queue: str
    quick: bool
    job_ids: list[str] = field(default_factory=list)
    templates: list[bytes] = field(default_factory=list)
    singles: dict[int, Job] = field(default_factory=dict)

    def add(self, job_id: str, known: Known) -> None:
        if known.job is not None:
            self.singles[len(self.job_ids)] = known.job
        self.job_ids.append(job_id)
        self.templates.append(known.template)


class Templates:
    """The notifications of the jobs that were in a recent batch, by job id."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._known: dict[str, Known] = {}
        #: By the members of a batch: the edit of the registry, and the groups as of that.
        self._groups: dict[str, tuple[int, list[Group]]] = {}
        self._lock = threading.Lock()
        self._tracer = find_tracer(settings)

    def look_up(
        self, batch: Batch, edits: int, prepared: str
    ) -> tuple[Sequence[Group], list[RunId]]:
        """Return the jobs of a batch as of the registry's edit `edits`.

        Beat may have `prepared` the notifications of some, as of the edit at which it judged them.
        None of these jobs is quick. The second value has the runs of jobs that are gone or cannot
        be read. If there are any, there are no groups. A job that was edited since the batch was
        judged has a newer notification, and leaves the batch when that is concluded.
        """
        # In a pool of threads, all of them share what is known.
        with self._lock:
            kept = self._groups.get(batch.members)
            if kept and kept[0] == edits:
                return kept[1], []
            if gone := self._make_known(batch, edits, prepared):
                return [], [RunId(job_id, batch.fire_time) for job_id in gone]
            groups = self._group(batch.job_ids)
            self._groups[batch.members] = edits, groups
            drop_oldest(self._groups, MOST_GROUPED)
            drop_oldest(self._known, MOST)
            return groups, []

    def write(self, groups: Iterable[Group], fire_time: float, now: float) -> list[Told]:
        """Write the notifications of runs of one fire time that ended at `now`."""
        told: list[Told] = []
        for group in groups:
            payloads = self._write_all(group, fire_time, now)
            told.append((group.queue, group.quick, list(zip(group.job_ids, payloads, strict=True))))
        return told

    def _make_known(self, batch: Batch, edits: int, prepared: str) -> set[str]:
        """Make all jobs of a batch known. Return those that are gone or cannot be read."""
        queue = self._settings.notify_queue
        for job_id, (edit, template) in read_prepared(prepared, self._settings.chat_id).items():
            self._known[job_id] = Known(edit, batch.edits, queue, template, None, False)
        asked = [
            (job_id, known.edit if known else "")
            for job_id in batch.job_ids
            if (known := self._known.get(job_id)) is None or known.seen != edits
        ]
        gone = set()
        for job_id, found in read_documents(self._redis, asked):
            if found is None:
                self._known[job_id].seen = edits
            elif not self._learn(job_id, *found, edits):
                gone.add(job_id)
        return gone

    def _group(self, job_ids: Iterable[str]) -> list[Group]:
        """Group known jobs."""
        groups: dict[tuple[str, bool], Group] = {}
        for job_id in job_ids:
            known = self._known[job_id]
            kind = known.queue, known.quick
            if (group := groups.get(kind)) is None:
                group = groups[kind] = Group(*kind)
            group.add(job_id, known)
        return list(groups.values())

    def _write_all(self, group: Group, fire_time: float, now: float) -> Sequence[bytes]:
        payloads = fill_templates(group.templates, fire_time, now)
        if self._tracer is not None:
            payloads = [
                add_traceparent(each, self._tracer.traceparent_of(RunId(job_id, fire_time)))
                for job_id, each in zip(group.job_ids, payloads, strict=True)
            ]
        for n, job in group.singles.items():
            run = Run(job, RunId(job.id, fire_time), fire_time, 1)
            message = write_notification(run, "success", None, now, self._settings)
            payloads[n] = message.payload
        return payloads

    def _learn(self, job_id: str, document: str, edit: str, edits: int) -> bool:
        """Add a job to the cache by its document. Return False if it cannot be read."""
        self._known.pop(job_id, None)
        queue, kept = self._settings.notify_queue, None
        template, quick = self._make_simple(document)
        if not template:
            try:
                job = Job.from_document(document)
            except ValueError:
                return False
            quick = job.schedule.is_quick
            if "success" in job.notify.on:
                queue = job.notify.queue or queue
                template = make_template(job, self._settings)
                kept = None if template else job
            else:
                queue = ""
        self._known[job_id] = Known(edit, edits, queue, template, kept, quick)
        return True

    def _make_simple(self, document: str) -> tuple[bytes, bool]:
        """Return the template of a job without notification settings, and whether the job is quick.

        The template of any other job is b"".
        """
        try:
            fields = orjson.loads(document)
        except orjson.JSONDecodeError:
            return b"", False
        if not isinstance(fields, dict):
            return b"", False
        template = make_default_template(fields, self._settings.chat_id)
        return template, has_quick_rule(fields.get("schedule"))
