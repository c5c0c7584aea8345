"""Notifications that beat prepares for the workers: templates of jobs that it just read. Pure.

A worker that does not have the jobs of a batch in its cache would read and parse each of them after
the fire time. Beat reads them earlier, so it makes the templates and stores them with the batch
(ledger/batches.py). In Redis they are one text: a line of JSON, and the templates. A null byte
precedes each of them, because no template contains one.
"""

from collections.abc import Mapping

import orjson

_NEXT = b"\x00"


def write_prepared(templates: Mapping[str, tuple[str, bytes]], chat_id: object) -> bytes:
    """Write the templates of jobs, by job id with the edit at which each was made.

    `chat_id` is the default chat of jobs. Returns b"" for no jobs.
    """
    if not templates:
        return b""
    edits = [edit for edit, _ in templates.values()]
    head = orjson.dumps([chat_id, list(templates), edits])
    return _NEXT.join([head, *(template for _, template in templates.values())])


def read_prepared(text: str, chat_id: object) -> dict[str, tuple[str, bytes]]:
    """Parse the text that `write_prepared` wrote.

    Returns nothing if there is none, or if beat has another `chat_id` in its settings.
    """
    if not text:
        return {}
    head, *templates = text.encode(errors="surrogateescape").split(_NEXT)
    used_chat, job_ids, edits = orjson.loads(head)
    if used_chat != chat_id:
        return {}
    return dict(zip(job_ids, zip(edits, templates, strict=True), strict=True))
