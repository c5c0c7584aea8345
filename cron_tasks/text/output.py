"""Keep the beginning of the output of an action, as safe text. Pure."""

import json
from typing import Any

from cron_tasks.text.display import printable, short_repr

#: Bytes of an action's output that are kept.
MAX_OUTPUT_BYTES = 4096


def trim_output(text: str) -> str | None:
    """Return the beginning of `text`, or None if it is empty.

    Line breaks stay. Other unprintable characters are escaped.
    """
    lines = text[:MAX_OUTPUT_BYTES].splitlines()
    safe = "\n".join(printable(line.expandtabs(), MAX_OUTPUT_BYTES) for line in lines).strip("\n")
    return safe.encode()[:MAX_OUTPUT_BYTES].decode(errors="ignore") or None


def render_output(result: Any) -> str | None:
    """Return the part to keep of a value that an action or a task returned, or None if it is empty.

    A text is kept as it is, bytes as the text that they encode, and anything else as JSON.
    """
    if result is None or isinstance(result, str):
        return trim_output(result or "")
    if isinstance(result, bytes | bytearray | memoryview):
        return trim_output(bytes(result[:MAX_OUTPUT_BYTES]).decode(errors="replace"))
    try:
        return trim_output(_encode_beginning(result))
    except Exception:
        # A cycle, a key that is not a text, or a value whose __str__ fails.
        return trim_output(short_repr(result, MAX_OUTPUT_BYTES))


def _encode_beginning(value: Any) -> str:
    """Return the beginning of `value` as JSON, without encoding all of a huge value."""
    parts, length = list[str](), 0
    for part in json.JSONEncoder(ensure_ascii=False, default=_to_text).iterencode(value):
        parts.append(part)
        length += len(part)
        if length > MAX_OUTPUT_BYTES:
            break
    return "".join(parts)


def _to_text(value: Any) -> str:
    """Return a text for a value that JSON cannot express."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(errors="replace")
    return str(value)
