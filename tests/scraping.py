"""Scrapes of metrics, as Prometheus makes them."""

import http.client
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

from helpers import wait_until
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def scrape_text(port: int, path: str = "/metrics", timeout: float = 10) -> str:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        return answer.read().decode()


class Scrape:
    """One scrape: samples by name and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: list[Metric] = list(text_string_to_metric_families(text))
        self.samples = [sample for family in self.families for sample in family.samples]
        # Of two samples with the same labels, Prometheus keeps the first.
        series = Counter((s.name, frozenset(s.labels.items())) for s in self.samples)
        assert [each for each, times in series.items() if times > 1] == []

    @classmethod
    def of(cls, port: int) -> "Scrape":
        return cls(scrape_text(port))

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of the sample with exactly these labels. None if there is none."""
        found = [s.value for s in self._named(name) if s.labels == labels]
        assert len(found) < 2
        return found[0] if found else None

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all samples with at least these labels."""
        return sum(s.value for s in self._named(name) if s.labels.items() >= labels.items())

    def names(self) -> set[str]:
        return {sample.name for sample in self.samples}

    def _named(self, name: str) -> Iterator[Sample]:
        return (s for s in self.samples if s.name == f"cron_tasks_{name}")


def wait_for_scrape(port: int) -> Scrape:
    def answer() -> Scrape | None:
        try:
            return Scrape.of(port)
        except OSError:
            return None

    return wait_until(answer, f"metrics at port {port}")
