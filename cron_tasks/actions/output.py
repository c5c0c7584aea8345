"""What is kept of an action's output."""

from cron_tasks.text import printable

#: Bytes of UTF-8.
MOST = 4096


def kept(text: str) -> str | None:
    """The beginning of `text`, its lines as they are and all else printable; None if empty."""
    lines = text[:MOST].splitlines()
    shown = "\n".join(printable(line.expandtabs(), MOST) for line in lines).strip("\n")
    return shown.encode()[:MOST].decode(errors="ignore") or None
