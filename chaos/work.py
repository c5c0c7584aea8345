"""The Celery task of chaos' task actions, which calls the target like http actions."""

import os
import re
from urllib.request import Request, urlopen

from celery import Task, shared_task


@shared_task(name="chaos.work", bind=True)
def work(self: Task) -> int:
    """Return the status of the answer. Raises HTTPError for a 503."""
    run, attempt = re.fullmatch(r"(.+)#(\d+)-\w+", self.request.id).groups()
    headers = {"Idempotency-Key": run, "Attempt": attempt}
    with urlopen(Request(os.environ["CHAOS_TARGET"], b"", headers)) as answer:
        return answer.status
