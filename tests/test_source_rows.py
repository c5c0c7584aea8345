"""JSON in pieces, compared with the standard library, and the mapping of other shapes."""

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cron_tasks.jobs.job import Job
from cron_tasks.jobs.rejected import Rejected, Unreadable
from cron_tasks.jobs.validation import validate_row
from cron_tasks.rest import rows as rows_module
from cron_tasks.rest import skim as skim_module
from cron_tasks.rest.mapping import Shape
from cron_tasks.rest.rows import CONTRACT_PLACES, Document, Malformed
from cron_tasks.rest.skim import Skim


def parse(body: bytes, paths: Any = CONTRACT_PLACES) -> list[Any]:
    return list(Document(io.BytesIO(body)).read_rows(paths))


class Pieces(io.BytesIO):
    """A file that gives at most `size` bytes at a time, so that every boundary is met."""

    def __init__(self, body: bytes, size: int) -> None:
        super().__init__(body)
        self._size = size

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(self._size)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
LAYOUTS = st.sampled_from([None, 1, "\t"])


@settings(deadline=None)
@given(st.lists(VALUES, max_size=6), LAYOUTS, st.booleans(), st.integers(1, 40))
@example(["\U0001f600", "\\", '"', 12345678, -1.5e-7, None], None, True, 1)
def test_any_array_in_any_pieces_equals_what_json_reads(
    rows: list[Any], indent: Any, ascii_only: bool, size: int
) -> None:
    body = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode()
    assert list(Document(Pieces(body, size)).read_rows(CONTRACT_PLACES)) == rows


@settings(deadline=None)
@given(st.lists(VALUES, max_size=4), st.dictionaries(st.text(), VALUES, max_size=3), st.data())
def test_every_cut_is_noticed(rows: list[Any], beside: dict[str, Any], data: st.DataObject) -> None:
    """Wherever the body ends early, in pieces of any size, it is not accepted as the list."""
    envelope = {key: value for key, value in beside.items() if key not in CONTRACT_PLACES}
    body = json.dumps({**envelope, "items": rows, "next": None}, ensure_ascii=False).encode()
    size = data.draw(st.integers(1, 40))
    document = Document(Pieces(body, size))
    assert list(document.read_rows(CONTRACT_PLACES)) == rows
    assert document.envelope == {**envelope, "next": None}
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(Malformed):
        list(Document(Pieces(body[:cut], size)).read_rows(CONTRACT_PLACES))


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "starts with '' and has no array of jobs at @, results, items, jobs, data; "),
        (b"5", "starts with '5' and has no array of jobs"),
        (b"null", "starts with 'null' and has no array of jobs"),
        (b"<html>", "starts with '<html>' and has no array of jobs"),
        ("[]".encode("utf-16"), "is not UTF-8"),
        (b'["\xff"]', "is not UTF-8"),
        (b'["\xc3', "is not UTF-8"),
        (b"[", "breaks off in row 1"),
        (b"[1", "breaks off in row 1"),
        (b'[1, "tw', "breaks off in row 2"),
        (b'[1, {"a"', "breaks off in row 2"),
        (b"[1,]", "is not JSON: Expecting value in row 2"),
        (b"[1 2]", "is not JSON: '2' in place of , or ] in row 1"),
        (b"[1]]", "continues after the end of its JSON"),
        (b"[1]\n[2]", "continues after the end of its JSON"),
        (b'{"items": [1]}{}', "continues after the end of its JSON"),
        (b'{"items": [1], "items": [2]}', "has arrays at items and items"),
        (b'{"items": [1], "data": [2]}', "arrays at items and data; say which holds the jobs"),
        (b'[{"a": tru}]', "is not JSON: Expecting value in row 1"),
        (b'["a\nb"]', "is not JSON: Invalid control character at in row 1"),
        (b"['a']", "is not JSON: Expecting value in row 1"),
        (b'{"detail": "no"}', """starts with '{"detail": "no"}' and has no array of jobs"""),
        (b'{"items": null}', "has no array of jobs"),
        (b"{}", "starts with '{}' and has no array of jobs"),
        (b"{,}", "is not JSON: ',' in place of \""),
        (b'{"a" 1}', "is not JSON: '1' in place of :"),
        (b"[" * 100_000, "breaks off in row 1"),
        (b"[" * 2000 + b"}" * 2000, "is not JSON: '}' in place of ] in row 1"),
        (b"[" + b"[" * 2000 + b"tru" + b"]" * 2000 + b", 1", "breaks off in row 2"),
    ],
)
def test_a_page_that_is_not_a_list_is_malformed(body: bytes, words: str, size: int) -> None:
    with pytest.raises(Malformed) as caught:
        list(Document(Pieces(body, max(size, len(body) // 100))).read_rows(CONTRACT_PLACES))
    assert words in str(caught.value)


def test_numbers_and_texts_are_exact() -> None:
    body = b'[{"id": 123456789012345678901234567890, "f": 0.1, "s": "\\ud800"}]'
    assert parse(body) == [{"id": 123456789012345678901234567890, "f": 0.1, "s": "\ud800"}]
    assert parse(b"[" + b"9" * 5000 + b"]") == [float("inf")]


def test_a_big_list_takes_little_memory() -> None:
    body = json.dumps([{"id": number, "name": "x" * 100} for number in range(30_000)]).encode()
    tracemalloc.start()
    try:
        assert sum(1 for _ in Document(io.BytesIO(body)).read_rows(CONTRACT_PLACES)) == 30_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000 < len(body)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use limits that a test reaches quickly."""
    monkeypatch.setattr(rows_module, "CHUNK", 100)
    for module in (rows_module, skim_module):
        monkeypatch.setattr(module, "LONGEST", 1000)
    monkeypatch.setattr(skim_module, "_LONG_TEXT", 250)
    monkeypatch.setattr(skim_module, "_LONG_PART", 300)


LONG = "the row is longer than 1,048,576 characters: leave out what is that long"
DEEP = "the row is nested more than 100 levels deep: leave out what is that deep"


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("row", "left"),
    [
        ('{"id": 7, "a": "%s"}' % ("x" * 2000), {"id": 7, "a": "x" * 250 + "…"}),
        (r'{"id": 7, "a": "%s"}' % (r"\u00e9" * 500), {"id": 7, "a": "é" * 41 + "…"}),
        (r'{"a": "%s", "id": 7}' % (r"\"" * 999), {"a": '"' * 125 + "…", "id": 7}),
        (r'{"a": "%s", "id": 7}' % (r"\\" * 999), {"a": "\\" * 125 + "…", "id": 7}),
        ('{"a": [%s"x"], "id": 7}' % ("12, " * 900), {"a": [], "id": 7}),
        ('{"a": [{"b": [%s1]}], "id": 7}' % ("12, " * 900), {"a": [{"b": []}], "id": 7}),
        ('{"id": 7, %s"z": 1}' % ('"k": "v", ' * 200), {"id": 7, "k": "v"}),
        ('{"id": 7, "a": %s}' % ("9" * 2000), {"id": 7}),
        ('{"%s": 1, "id": 7}' % ("x" * 2000), {"x" * 250 + "…": 1, "id": 7}),
    ],
)
@pytest.mark.usefixtures("small")
def test_a_row_that_is_too_long_keeps_its_id(row: str, left: dict[str, Any]) -> None:
    for size in (1, 7, 100_000):
        body = f'[{row}, {{"id": 8}}]'.encode()
        first, second = list(Document(Pieces(body, size)).read_rows(CONTRACT_PLACES))
        assert (first, first.reason, second) == (left, LONG, {"id": 8})
        assert type(second) is dict


@pytest.mark.parametrize("levels", [100, 150, 990, 1100, 20_000])
def test_a_row_that_is_too_deep_keeps_its_id(levels: int) -> None:
    for value in (nested(levels), '{"a":' * levels + "1" + "}" * levels):
        body = f'{{"next": null, "items": [{{"a": {value}, "id": 7}}, {{"id": 8}}]}}'
        document = Document(Pieces(body.encode(), 1000))
        first, second = document.read_rows(CONTRACT_PLACES)
        assert (first["id"], first.reason, second) == (7, DEEP, {"id": 8})
        assert document.envelope == {"next": None}


@pytest.mark.parametrize("levels", [99, 150, 990, 1100, 20_000])
@pytest.mark.parametrize("row", ['{"a": %s, "id": 7}', '{"id": 7, "a": {"b": [1, %s]}, "c": "]"}'])
def test_a_row_of_a_page_in_memory_that_is_too_deep_keeps_its_id(row: str, levels: int) -> None:
    shape = Shape({"jobs": "data.jobs"})
    body = '{"data": {"jobs": [%s, {"id": 8}]}}' % (row % nested(levels))
    first, second = shape.find_rows(Document(Pieces(body.encode(), 1000)))
    assert (first["id"], second) == (7, {"id": 8})
    assert getattr(first, "reason", None) == (DEEP if levels > 99 or "b" in row else None)


@pytest.mark.parametrize("body", ["[" * 5000, "[" * 5000 + "]" * 4999, "[" * 5000 + "]" * 5001])
def test_a_page_in_memory_that_breaks_off_is_malformed(body: str) -> None:
    with pytest.raises(Malformed, match="is not JSON"):
        Document(io.BytesIO(body.encode())).read_whole()


def test_a_row_within_the_limits_is_left_alone() -> None:
    row = f'{{"id": 7, "a": {nested(99)}, "b": [{"[], " * 200}[]], "c": "{"[" * 200}"}}'
    assert parse(f"[{row}]".encode()) == [json.loads(row)]
    assert type(parse(f"[{row}]".encode())[0]) is dict


@pytest.mark.parametrize("value", [nested(150), f'"{"x" * (1 << 21)}"'])
def test_a_row_that_is_too_large_and_not_an_object_does_not_become_one(value: str) -> None:
    first, second = parse(f'[{value}, {{"id": 8}}]'.encode())
    assert not isinstance(first, dict)
    assert second == {"id": 8}


def test_fields_beside_the_rows_may_be_too_deep() -> None:
    document = Document(io.BytesIO(f'{{"a": {nested(5000)}, "items": [1], "next": 2}}'.encode()))
    assert list(document.read_rows(CONTRACT_PLACES)) == [1]
    assert document.envelope["next"] == 2


@settings(deadline=None)
@given(
    VALUES.filter(lambda value: isinstance(value, str | list | dict)), LAYOUTS, st.integers(1, 40)
)
def test_a_copy_of_anything_small_is_the_same(value: Any, indent: Any, size: int) -> None:
    text, skim = json.dumps(value, indent=indent), Skim()
    ends = [skim.feed(text[at : at + size], 0) for at in range(0, len(text), size)]
    assert ends[:-1] == [None] * (len(ends) - 1)
    assert ends[-1] == len(text[(len(ends) - 1) * size :])
    assert json.loads(skim.copy) == value


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=30), VALUES, max_size=20), st.booleans())
@pytest.mark.usefixtures("small")
def test_a_copy_is_always_json(value: Any, ascii_only: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, most in (("LONGEST", 40), ("DEEPEST", 3), ("_LONG_TEXT", 8), ("_LONG_PART", 15)):
            patch.setattr(skim_module, name, most)
        text, skim = json.dumps({"id": 7} | value, ensure_ascii=ascii_only), Skim()
        assert skim.feed(text, 0) == len(text)
        copy = json.loads(skim.copy)
        assert "id" in value or copy["id"] == 7


# Mapping


def mapped(shape: Shape, page: Any) -> list[Any]:
    document = Document(io.BytesIO(json.dumps(page).encode()))
    return [shape.map_row(row) for row in shape.find_rows(document)]


@pytest.mark.parametrize(
    ("expression", "page"),
    [
        ("checks", {"checks": [1, 2], "results": [3]}),
        ("data.checks", {"meta": {"checks": [5]}, "data": {"n": 2, "checks": [1, 2]}, "x": 1}),
        ('"my list"', {"my list": [1, 2]}),
        ("@", [1, 2]),
        ("[*].job", [{"job": 1}, {"job": 2}, {}]),
        ("groups[].jobs[]", {"groups": [{"jobs": [1]}, {"jobs": [2]}]}),
        ("values(@)", {"a": 1, "b": 2}),
        ("checks[?@ < `3`]", {"checks": [1, 2, 3]}),
    ],
)
def test_the_place_of_the_jobs(expression: str, page: Any) -> None:
    assert mapped(Shape({"jobs": expression}), page) == [1, 2]


@pytest.mark.parametrize(
    ("expression", "page", "words"),
    [
        ("checks", [1], "has no array of jobs at checks"),
        ("checks", {"results": [1]}, "has no array of jobs at checks"),
        (
            "data.checks",
            {"data": [1]},
            "has no array at the place of `jobs` in CRON_TASKS_REST_MAPPING",
        ),
        (
            "checks[0]",
            {"checks": [1]},
            "has no array at the place of `jobs` in CRON_TASKS_REST_MAPPING",
        ),
        ("keys(@)", [1], "does not fit `jobs` of CRON_TASKS_REST_MAPPING"),
    ],
)
def test_no_jobs_at_the_place_of_the_mapping(expression: str, page: Any, words: str) -> None:
    with pytest.raises(Malformed) as caught:
        mapped(Shape({"jobs": expression}), page)
    assert words in str(caught.value)


def test_next_is_found_beside_mapped_jobs() -> None:
    page = json.dumps({"data": {"checks": [1]}, "next": "/2"}).encode()
    for expression in ("data.checks", "data.checks[]"):
        document = Document(io.BytesIO(page))
        assert list(Shape({"jobs": expression}).find_rows(document)) == [1]
        assert Shape({}).find_next(document.envelope) == "/2"


@pytest.mark.parametrize("jobs", ["checks", "checks[]"])
def test_next_may_be_mapped_too(jobs: str) -> None:
    shape = Shape({"jobs": jobs, "next": "links.next"})
    document = Document(io.BytesIO(b'{"checks": [1], "links": {"next": "/2"}}'))
    assert list(shape.find_rows(document)) == [1]
    assert shape.find_next(document.envelope) == "/2"


ROW = {"uuid": "u1", "id": 7, "schedule": "* * * * *", "at": {"tz": "UTC"}, "timeout": 60}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ROW),
        # what was moved as it is does not stay, the rest passes through
        (
            {"id": "uuid", "cron_expression": "schedule"},
            {"at": {"tz": "UTC"}, "timeout": 60, "id": "u1", "cron_expression": "* * * * *"},
        ),
        # ... also when its name is one of the contract's
        ({"every": "timeout"}, {**{k: ROW[k] for k in list(ROW)[:4]}, "every": 60}),
        ({"id": "uuid", "name": "id"}, None),
        # a dotted path and a function take nothing away
        ({"timezone": "at.tz"}, {**ROW, "timezone": "UTC"}),
        ({"name": "join(' ', [uuid, schedule])"}, {**ROW, "name": "u1 * * * * *"}),
        # null leaves the field out, also one that the row has
        ({"timeout": "missing", "tags": "at.none"}, {k: ROW[k] for k in list(ROW)[:4]}),
        ({"id": "to_string(id)", "enabled": "timeout > `5`"}, {**ROW, "id": "7", "enabled": True}),
    ],
)
def test_fields_of_a_row(fields: dict[str, str], expected: dict[str, Any] | None) -> None:
    if expected is None:
        expected = {"schedule": "* * * * *", "at": {"tz": "UTC"}, "timeout": 60}
        expected |= {"id": "u1", "name": 7}
    row = dict(ROW)
    assert Shape(fields).map_row(row) == expected
    assert row == ROW, "the row itself is not changed"


@pytest.mark.parametrize(
    ("fields", "switches"),
    [
        ({"enabled": "at.state"}, ["enabled"]),
        ({"enabled": "timeout > missing"}, ["enabled"]),
        ({"is_active": "missing"}, ["is_active"]),
        ({"enabled": "missing", "is_active": "at.none"}, ["enabled", "is_active"]),
        ({"enabled": "timeout > `5`"}, []),
        ({"enabled": "timeout > `100`"}, []),
        ({"tags": "missing"}, []),
        # Comparisons of fields that are not there, one of them written like a text.
        ({"enabled": "stats != 'paused'"}, ["enabled"]),
        ({"enabled": 'uuid != "paused"'}, ["enabled"]),
        ({"enabled": "stats == 'on'"}, []),
        ({"enabled": "uuid != 'paused' && !archived && deleted_at == `null`"}, []),
    ],
)
def test_a_switch_that_the_mapping_does_not_find_is_a_warning(
    fields: dict[str, str], switches: list[str]
) -> None:
    """The job is enabled, like a row without the field."""
    mapping = {"id": "id", "cron_expression": "schedule", "name": "uuid"} | fields
    job = validate_row(Shape(mapping).map_row({**ROW, "none": None}), timezone="UTC")
    assert isinstance(job, Job)
    told = [warning for warning in job.warnings if "REST_MAPPING" in warning]
    reason = "CRON_TASKS_REST_MAPPING finds null in this row, so the job is enabled"
    assert told == [f"`{switch}`: {reason}" for switch in switches]
    assert Job.from_document(job.to_document()).warnings == job.warnings
    assert not any("mapped_to_null" in warning for warning in job.warnings)


def test_an_unreadable_row_is_mapped_as_far_as_possible() -> None:
    found = Shape({"id": "uuid", "name": "title"}).map_row(
        Unreadable({"uuid": 7, "a": 1}, "too deep")
    )
    assert isinstance(found, Unreadable)
    assert (found, found.reason) == ({"id": 7, "a": 1}, "too deep")


@pytest.mark.parametrize("row", [5, None, "x", [1]])
def test_a_row_that_is_not_an_object_is_not_mapped(row: Any) -> None:
    assert Shape({"id": "uuid"}).map_row(row) == row


@pytest.mark.parametrize(
    ("fields", "identity"),
    [
        ({"id": "uuid", "name": "join('', names)"}, {"id": "u1"}),
        ({"name": "join('', names)"}, {"id": 7}),
        ({"id": "join('', names)"}, {"id": None}),
    ],
)
def test_a_row_on_which_an_expression_fails_harms_only_itself(
    fields: dict[str, str], identity: dict[str, Any]
) -> None:
    stub = Shape(fields).map_row(ROW)
    rejected = validate_row(stub, timezone="UTC")
    assert isinstance(rejected, Rejected)
    assert rejected.row == identity
    (reason,) = rejected.errors
    assert reason.startswith("the row does not fit `")
    assert "of CRON_TASKS_REST_MAPPING: In function join()" in reason


@pytest.mark.parametrize("separator", [",", ", ", ",\n  "])
@pytest.mark.parametrize("chunk", [100, 1000, 1 << 16])
def test_rows_are_the_same_whether_read_together_or_one_by_one(
    monkeypatch: pytest.MonkeyPatch, separator: str, chunk: int
) -> None:
    monkeypatch.setattr(rows_module, "CHUNK", chunk)
    odd = [
        '{"id": 123456789012345678901234567890}',
        '{"id": -9223372036854775809, "x": 1e400}',
        '{"id": "\\ud800"}',
        '{"id": 4, "x": "},{"}',
        '{"id": 5, "x": [{"a": "]"},{"b": "\\\\"},{}]}',
        '{"id": 6, "x": NaN, "id": 7}',
        '{"id": 8, "x": -0, "y": 0.1, "z": 1e-7}',
        "[{},{}]",
        '"},{"',
        "17",
    ]
    texts = [f'{{"id": {n}, "name": "job ü {n}"}}' for n in range(200)]
    for place, each in enumerate(odd):
        texts.insert(20 * place, each)
    body = "[" + separator.join(texts) + "]"
    found = list(Document(io.BytesIO(body.encode())).read_rows(CONTRACT_PLACES))
    assert repr(found) == repr(list(map(json.loads, texts)))
