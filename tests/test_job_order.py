"""Ids are sorted lazily, in the order of one sort."""

import random
import time

from applying import apply
from command_line import Quick
from redis import Redis

from cron_tasks.cli import job_order
from cron_tasks.cli.job_order import by_id, sort_lazily
from cron_tasks.registry.plan import Policy, plan_changes


def test_the_order_is_that_of_one_sort() -> None:
    ids = [str(number) for number in range(3000)]
    ids += [
        "007",
        "00",
        "",
        "-1",
        "1.5",
        "\u0663",
        "job 10",
        "job 9",
        *(f"x{n}" for n in range(2000)),
    ]
    random.Random(1).shuffle(ids)
    assert list(sort_lazily(ids)) == sorted(ids, key=by_id)


def test_the_first_page_comes_before_the_rest_is_sorted() -> None:
    seen = []
    ids = [str(number) for number in range(100_000)]
    order = job_order.by_id
    try:
        job_order.by_id = lambda job_id: (seen.append(job_id), order(job_id))[1]
        assert next(sort_lazily(reversed(ids))) == "0"
    finally:
        job_order.by_id = order
    assert len(seen) < 100


def test_a_list_of_several_pages(redis: Redis, quick: Quick) -> None:
    rows = [(f"row {n}", {"id": n, "name": "x" * (n % 50 + 1), "every": 60}) for n in range(2500)]
    apply(redis, plan_changes({}, rows, Policy()), time.time())
    expected = [str(number) for number in range(2500)]
    assert [row["id"] for row in quick.json("jobs", "list")] == expected
    lines = quick.lines("jobs", "list")
    assert [line.split()[0] for line in lines] == ["ID", *expected]
