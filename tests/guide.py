"""docs/operations.md as an operator follows it at night: a section for each alert."""

import re
from pathlib import Path

_TEXT = (Path(__file__).parents[1] / "docs" / "operations.md").read_text("utf-8")
_ALERTS = _TEXT.partition("\n## Alerts: cause and cure\n")[2].partition("\n## ")[0]
_SECTIONS = re.split(r"^### (\w+)\n", _ALERTS, flags=re.MULTILINE)[1:]
SECTIONS = dict(zip(_SECTIONS[::2], _SECTIONS[1::2], strict=True))
#: The anchors of the headings, as a browser makes them.
ANCHORS = [name.lower() for name in SECTIONS]
#: A span such as `3 min 20 s`, and a time of day or a number.
_SPAN = re.compile(r"\d+ (?:d|h|min|s)(?: \d+ (?:h|min|s))?")
_NUMBER = re.compile(r"\d\d:\d\d|[\d,]*\d")


class Guide:
    """The section of an alert: its parts (`Cause`, `Page`, `Log`, `Cure`), each as one line."""

    def __init__(self, alert: str) -> None:
        self.anchor = alert.lower()
        found = re.split(r"^- \*\*(\w+):\*\* ", SECTIONS[alert], flags=re.MULTILINE)[1:]
        texts = [" ".join(text.split()) for text in found[1::2]]
        self.parts = dict(zip(found[::2], texts, strict=True))
        self._quoted = [each for text in texts for each in re.findall("`([^`]+)`", text)]

    @property
    def commands(self) -> list[str]:
        return [each for each in self._quoted if each.startswith("cron-tasks ")]

    @property
    def events(self) -> list[str]:
        """The log events that the section names."""
        return [each for each in re.findall("`([a-z_.]+)`", self.parts["Log"]) if "." in each]

    def command(self, text: str, **values: str) -> list[str]:
        """Return the words of a command in the section, with `values` for its placeholders."""
        assert text in self._quoted, f"{self.anchor} does not give the command {text!r}"
        return [values.get(word, word) for word in text.split()]

    def finds(self, shown: str) -> bool:
        """Return whether a page shows one of the sentences that the section quotes.

        Numbers, spans, times of day and hosts may differ. `…` stands for any text.
        """
        return any(re.search(_as_pattern(each), shown) for each in self.sentences)

    @property
    def sentences(self) -> list[str]:
        return re.findall('"([^"]+)"', self.parts["Page"])


def _as_pattern(sentence: str) -> str:
    marked = _NUMBER.sub("\1", _SPAN.sub("\0", sentence)).replace("warehouse.intern", "\2")
    spelled = re.escape(marked).replace("…", ".*")
    patterns = {"\0": _SPAN.pattern, "\1": _NUMBER.pattern, "\2": r"[\w.]+"}
    for mark, pattern in patterns.items():
        spelled = spelled.replace(re.escape(mark), f"(?:{pattern})")
    return spelled
