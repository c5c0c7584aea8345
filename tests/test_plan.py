"""The plan: a table of registered rows, listed rows, and the changes."""

import tracemalloc
from typing import Any

import pytest

from cron_tasks.errors import SourceError
from cron_tasks.jobs.fingerprint import fingerprint_row
from cron_tasks.registry.plan import Changes, Policy, plan_changes

UTC = Policy()


def settled(current: dict[str, str], rows: list[tuple[str, Any]], policy: Policy = UTC) -> Changes:
    changes = plan_changes(current, rows, policy)
    changes.judge_candidates()
    assert changes.desired == [*changes.added, *changes.changed]
    assert not changes.candidates
    return changes


def row(job_id: Any, **fields: Any) -> dict[str, Any]:
    return {"id": job_id, "name": f"job {job_id}", "cron_expression": "0 9 * * *", **fields}


def known(*rows: dict[str, Any]) -> dict[str, str]:
    return {str(each["id"]): fingerprint_row(each, UTC.timezone) for each in rows}


def listed(*rows: Any) -> list[tuple[str, Any]]:
    return [(f"row {number}", each) for number, each in enumerate(rows, 1)]


def many(count: int) -> list[dict[str, Any]]:
    return [row(number) for number in range(count)]


def test_a_plan_is_complete_even_if_it_is_refused() -> None:
    complete = plan_changes({}, listed(row(1), row(2, cron_expression="?")), UTC)
    assert [each.job.id for each in complete.desired] == ["1"]
    assert [each.id for each in complete.rejected] == ["2"]
    refused = plan_changes(known(*many(30)), listed(row(30)), UTC)
    assert refused.refusal
    assert ([each.id for each in refused.desired], len(refused.candidates)) == (["30"], 0)


@pytest.mark.parametrize(
    ("current", "rows", "added", "changed", "removed", "unchanged", "rejected"),
    [
        pytest.param([], [], "", "", "", 0, "", id="nothing"),
        pytest.param([], [row(1), row("2")], "12", "", "", 0, "", id="new"),
        pytest.param([row(1)], [row("1")], "", "1", "", 0, "", id="another spelling of the id"),
        pytest.param([row(1), row(2)], [row(1), row(2)], "", "", "", 2, "", id="unchanged"),
        pytest.param([row(1), row(2)], [row(2)], "", "", "1", 1, "", id="removed"),
        pytest.param([row(1)], [row(1, name="x")], "", "1", "", 0, "", id="changed"),
        pytest.param(
            [row(1)], [row(1, cron_expression="99 * * * *")], "", "", "", 0, "1",
            id="a bad row keeps its last good version",
        ),
        pytest.param([], [row(1), row("1")], "1", "", "", 0, "1", id="the first of two counts"),
        pytest.param([], [row(1), 5, {"name": "x"}], "1", "", "", 0, "--", id="no id"),
    ],
)  # fmt: skip
def test_plan(
    current: list[dict[str, Any]],
    rows: list[Any],
    added: str,
    changed: str,
    removed: str,
    unchanged: int,
    rejected: str,
) -> None:
    changes = settled(known(*current), listed(*rows))
    assert [desired.job.id for desired in changes.added] == list(added)
    assert [desired.job.id for desired in changes.changed] == list(changed)
    assert changes.removed == list(removed)
    assert changes.unchanged == unchanged
    assert [each.id or "-" for each in changes.rejected] == list(rejected)
    assert changes.refusal is None


def test_a_duplicate_names_the_place_of_the_first() -> None:
    (rejected,) = settled({}, listed(row(3), row(1), row(3))).rejected
    assert (rejected.place, rejected.errors) == (
        "row 3",
        ("`id`: 3 is already used in row 1, which counts",),
    )


def test_a_row_that_moved_to_the_next_page_is_not_a_duplicate() -> None:
    """A row that is put in front moves all others, so that the last of a page comes again."""
    rows = [("row 1", row(1)), ("row 2", row(2)), ("page 2, row 1", row(2))]
    for current in ({}, known(row(1), row(2))):
        changes = settled(current, [*rows, ("page 2, row 2", row(3))])
        assert (changes.rejected, len(changes.added) + changes.unchanged) == ([], 3)
    (edited,) = settled({}, [*rows[:2], ("page 2, row 1", row(2, name="x"))]).rejected
    assert edited.place == "page 2, row 1"
    (twice,) = settled({}, [("a.yaml, row 1", row(1)), ("b.yaml, row 1", row(1))]).rejected
    assert twice.place == "b.yaml, row 1"


@pytest.mark.parametrize(
    ("known_jobs", "kept", "refused"),
    [
        (0, 0, False),
        (1, 0, True),  # empty
        (11, 1, False),  # ten may go whatever the share
        (12, 1, True),
        (100, 50, False),
        (100, 49, True),
    ],
)
def test_a_collapsing_list_is_refused(known_jobs: int, kept: int, refused: bool) -> None:
    current, rows = known(*many(known_jobs)), listed(*many(kept))
    assert bool(plan_changes(current, rows, UTC).refusal) == refused
    assert plan_changes(current, rows, Policy(force=True)).refusal is None


def test_a_rejected_row_is_no_removal() -> None:
    jobs = many(30)
    changes = settled(known(*jobs), listed(*(each | {"name": None} for each in jobs)))
    assert (changes.removed, changes.refusal, len(changes.rejected)) == ([], None, 30)


def test_half_a_list_plans_nothing() -> None:
    def rows() -> Any:
        yield "row 1", row(1)
        raise SourceError("cut off")

    with pytest.raises(SourceError):
        plan_changes(known(row(1), row(2)), rows(), UTC)


def test_the_default_zone_is_part_of_what_a_row_means() -> None:
    changes = settled(known(row(1)), listed(row(1)), Policy(timezone="Europe/Berlin"))
    assert [desired.job.timezone for desired in changes.changed] == ["Europe/Berlin"]


def test_a_plan_keeps_little_of_each_row() -> None:
    count = 20_000
    rows = ((f"row {n}", row(n, tags=["a", "b"], chat_id=n % 5)) for n in range(count))
    tracemalloc.start()
    try:
        changes = plan_changes({}, rows, UTC)
        size = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(changes.added) == count
    assert size / count < 800
