"""The names of all keys in Redis, each spelled once. docs/keys.md explains them."""

# RedBeat's own keys (its prefix is `redbeat:`, so its schedule has two colons).
SCHEDULE = "redbeat::schedule"
LEADER_LOCK = "redbeat::lock"
STATICS = "redbeat::statics"
ENTRY_PREFIX = "redbeat:"
#: Our entries are those whose name starts with this prefix. All others belong to the operator.
ENTRY_NAME_PREFIX = "cron_tasks:"
JOB_ENTRY_PREFIX = ENTRY_PREFIX + ENTRY_NAME_PREFIX

JOBS = "cron_tasks:jobs"
EDITS = "cron_tasks:edits"
CHANGES = "cron_tasks:changes"
SKIPS = "cron_tasks:skips"
REJECTED = "cron_tasks:rejected"
SET_ASIDE = "cron_tasks:set_aside"
SOURCE = "cron_tasks:source"
GENERATION = "cron_tasks:generation"
MENDED = "cron_tasks:mended"
OPEN = "cron_tasks:open"
BATCHES = "cron_tasks:batches"
PREPARED_PREFIX = "cron_tasks:prepared:"
FIRED = "cron_tasks:fired"
DEADLINES = "cron_tasks:deadlines"
HISTORY_PREFIX = "cron_tasks:history:"
#: The ok runs of quick jobs by the minute: the minutes in progress of all jobs, and the past
#: minutes. The previous version counted the runs of its minutes in progress at once.
MINUTE = "cron_tasks:minute:now"
COUNTED_MINUTE = "cron_tasks:minute"
MINUTES_PREFIX = "cron_tasks:minutes:"
ACCOUNT_PREFIX = "cron_tasks:account:"
COUNT_PREFIX = "cron_tasks:ran:"
#: Counts of the previous version, with the sum of milliseconds. They are only read.
OLD_COUNT_PREFIX = "cron_tasks:ok:"
FOLDED_PREFIX = "cron_tasks:folded:"
VERSIONS_PREFIX = "cron_tasks:versions:"
REMOVED = "cron_tasks:removed"
RECENT = "cron_tasks:recent"
FAILED = "cron_tasks:failed"
FAILING = "cron_tasks:failing"
UNTOLD = "cron_tasks:untold"
GOING = "cron_tasks:going"
QUEUED = "cron_tasks:queued"
LINE_PREFIX = "cron_tasks:queued:"
BEFORE = "cron_tasks:before"
AWAITED = "cron_tasks:awaited"
STOP = "cron_tasks:stop"
ATTEMPTS = "cron_tasks:attempts"
EXPECTED = "cron_tasks:expected"
LATE = "cron_tasks:late"
PINGS = "cron_tasks:pings"
PINGS_LOCK = "cron_tasks:pings:lock"
BACKFILL_LOCK_PREFIX = "cron_tasks:backfill:lock:"
DIGEST = "cron_tasks:digest"
DROPPED = "cron_tasks:dropped"
METRICS = "cron_tasks:metrics"
UNDELIVERABLE = "cron_tasks:undeliverable"
POKE = "cron_tasks:poke"
WAKE = "cron_tasks:wake"
WORKERS = "cron_tasks:workers"
RATES = "cron_tasks:rates"
ACTIONS = "cron_tasks:actions"
SIGNS = "cron_tasks:signs"
LEADERS = "cron_tasks:leaders"
#: The lost ticks that the last audit found, and the turn to audit.
LOST = "cron_tasks:lost"
LOST_TURN = "cron_tasks:lost:turn"
SYNC_LOCK = "cron_tasks:sync:lock"
SYNC_WANTED = "cron_tasks:sync:wanted"
SYNC_TAKEN = "cron_tasks:sync:taken"
FEED = "cron_tasks:feed"
FEED_LOCK = "cron_tasks:feed:lock"
REPORTS = "cron_tasks:reports"
REPORTED_ERRORS = "cron_tasks:reports:errors"
REFUSED_REPORTS = "cron_tasks:reports:refused"
REPORTS_LOCK = "cron_tasks:reports:lock"

#: Followed by the queue, a colon and the id of a notification.
BOT_SENT_PREFIX = "cron_tasks:bot:sent:"
#: Followed by the id of a chat.
BOT_MOVED_PREFIX = "cron_tasks:bot:moved:"
# The endings of the keys beside a queue that one of our bots reads.
BOT_DEAD = ":dead"
BOT_READERS = ":readers"
BOT_ALIVE = ":alive:"
BOT_PROCESSING = ":processing:"

SYNC_TASK = "cron_tasks.sync_jobs"
#: Celery's queue of the sync, read beside the pools of the workers.
SYNC_QUEUE = "cron_tasks.sync"
#: The entry of the sync itself, from Celery's configuration.
SYNC_ENTRY = ENTRY_PREFIX + SYNC_TASK
RUN_TASK = "cron_tasks.run_job"
CHUNK_TASK = "cron_tasks.run_chunk"
BATCH_TASK = "cron_tasks.run_batch"
DONE_TASK = "cron_tasks.task_done"
FAILED_TASK = "cron_tasks.task_failed"

#: The beginnings of RedBeat's keys, ours and the broker's. A queue of a job or a bot must not begin
#: with one of them.
RESERVED = ("redbeat:", "cron_tasks:", SYNC_QUEUE, "_kombu.", "unacked")
#: The endings of Celery's lists for events, and of those for remote control.
CELERY_EVENTS, CELERY_CONTROL = "celeryev", ".pidbox"


def entry_key(job_id: str) -> str:
    """Return the key of the entry of a job."""
    return JOB_ENTRY_PREFIX + job_id


def job_id_of(entry_key: str) -> str | None:
    """Return the job that an entry belongs to, None for an entry that is not ours."""
    if entry_key.startswith(JOB_ENTRY_PREFIX):
        return entry_key[len(JOB_ENTRY_PREFIX) :]
    return None
