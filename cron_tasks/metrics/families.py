"""Convert counters in Redis to families of samples, the form of Prometheus. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import Metric as Family

from cron_tasks.ledger.counting import ABOVE, BOUNDS, SUM
from cron_tasks.metrics.catalogue import COUNTED, Metric
from cron_tasks.text.display import printable

#: The most queues with a separate label. Jobs may name any queue, so further queues share one
#: label.
MOST_QUEUES = 50
OTHER_QUEUES = "_other"
#: Names of queues may be long, and contain any characters.
LABEL_SHOWN = 200

#: A value and its labels, in the order of the metric.
Value = tuple[tuple[str, ...], float]
#: A rate needs a value from before the first event.
_ZERO: dict[str, list[Value]] = {
    "ticks_total": [((outcome, ""), 0) for outcome in ("failed", "missed", "skipped")]
}


def make_family(metric: Metric, values: Iterable[Value]) -> Family:
    """Return the samples of a counter or gauge. A label without a value is left out.

    Each combination of labels is one sample. Prometheus keeps only the first of two.
    """
    family = Family(metric.full_name.removesuffix("_total"), metric.meaning, metric.kind)
    shown = ((tuple(printable(each, LABEL_SHOWN) for each in labels), n) for labels, n in values)
    for labels, value in _merge(metric, shown):
        given = zip(metric.labels, labels, strict=True)
        family.add_sample(metric.full_name, {name: each for name, each in given if each}, value)
    return family


def read_counters(stored: Mapping[str, str]) -> Iterator[Family]:
    """Yield the families of the hash `cron_tasks:metrics`. Unknown fields are ignored: another
    version may have written them."""
    found: dict[str, list[Value]] = defaultdict(list)
    widths = {each.name: len(each.labels) + (each.kind == "histogram") for each in COUNTED}
    for counter, text in stored.items():
        name, _, labels = counter.partition("|")
        if text.isdecimal():
            # The last label may contain the separator, because queues may have any name.
            found[name].append((tuple(labels.split("|", widths.get(name, 1) - 1)), int(text)))
    for metric in COUNTED:
        values = found[metric.name]
        if metric.kind == "histogram":
            width = len(metric.labels) + 1
            yield _make_histogram(metric, [each for each in values if len(each[0]) == width])
        elif metric.labels:
            fitting = [each for each in values if len(each[0]) == len(metric.labels)]
            yield make_family(metric, [*_ZERO.get(metric.name, ()), *fitting])
        else:
            yield make_family(metric, [((), sum(n for _, n in values))])


def _make_histogram(metric: Metric, values: Iterable[Value]) -> Family:
    """Return the cumulative buckets of a histogram. Buckets with the bounds of another version are
    added to our next bound."""
    family = Family(metric.full_name, metric.meaning, "histogram")
    groups: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    if not metric.labels:
        groups[()] = {}
    for (*labels, bound), value in values:
        groups[tuple(labels)][bound] = value
    for of, counts in groups.items():
        given = dict(zip(metric.labels, of, strict=True))
        by_bound = {float(bound): n for bound, n in counts.items() if bound != SUM}
        for bound in (*BOUNDS, ABOVE):
            below = sum(n for each, n in by_bound.items() if each <= float(bound))
            family.add_sample(f"{metric.full_name}_bucket", {**given, "le": bound}, below)
        family.add_sample(f"{metric.full_name}_count", given, sum(by_bound.values()))
        family.add_sample(f"{metric.full_name}_sum", given, counts.get(SUM, 0) / 1000)
    return family


def _merge(metric: Metric, values: Iterable[Value]) -> list[Value]:
    """Return one value for each combination of labels, with at most MOST_QUEUES queues.

    The oldest of several ages counts. Other values are added up.
    """
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for labels, value in values:
        groups[labels].append(value)
    if metric.labels[:1] == ("queue",):
        for labels in sorted(groups)[MOST_QUEUES:]:
            groups[OTHER_QUEUES, *labels[1:]] += groups.pop(labels)
    combine = max if metric.name.endswith("_age_seconds") else sum
    return [(labels, combine(found)) for labels, found in groups.items()]
