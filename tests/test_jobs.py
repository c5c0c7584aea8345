"""docs/contract.md, section 3, row by row: valid jobs, rejected rows, and their messages."""

import unicodedata
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cron_tasks.jobs.fingerprint import fingerprint_row
from cron_tasks.jobs.job import BrokenDocument, Job
from cron_tasks.jobs.policies import TEMPLATE_FIELDS
from cron_tasks.jobs.rejected import Rejected
from cron_tasks.jobs.row import REMARKS, row_id
from cron_tasks.jobs.validation import validate_row

SMALLEST = {"id": 7, "name": "Water the plants", "cron_expression": "0 9 * * *"}
EVERYTHING = {
    "id": "plants/7",
    "name": "Water the plants 🪴",
    "every": "PT15M",
    "timezone": "Europe/Berlin",
    "is_active": False,
    "start_at": "2026-01-01T00:00:00",
    "end_at": "2030-01-01T00:00:00",
    "exclude": ["2026-12-25", {"from": "2026-12-31", "to": "2027-01-02"}],
    "jitter": 30,
    "action": {
        "type": "http",
        "method": "patch",
        "url": "https://example.org/hook?x=$$y&id=$id",
        "headers": {"Accept": "text/plain"},
        "json": {"deep": [1, None, "ü"]},
        "expect_status": [200, 204],
    },
    "chat_id": -100123,
    "notify": {
        "queue": "queue:garden",
        "on": ["failure", "recovered", "failure"],
        "template": "$name at ${time}: $status $$5",
        "stale_after": 60,
    },
    "retry": {"max_attempts": 5, "backoff": 0.5, "max_backoff": 60},
    "timeout": 30,
    "overlap": "queue",
    "catchup": {"policy": "all", "window": 60},
    "queue": "slow",
    "priority": 9,
    "tags": ["garden", "home"],
}


def nested(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels):
        value = [value]
    return value


#: Deeper than the stack of any interpreter. It takes 10 MB.
ABYSS = nested(100_000)


def accepted(**fields: Any) -> Job:
    job = validate_row(SMALLEST | fields, timezone="UTC")
    assert isinstance(job, Job), job
    return job


def errors(**fields: Any) -> tuple[str, ...]:
    rejected = validate_row(SMALLEST | fields, timezone="UTC", place="row 17")
    assert isinstance(rejected, Rejected), rejected
    assert rejected.place == "row 17"
    return rejected.errors


def test_the_smallest_job_has_the_defaults_of_the_contract() -> None:
    job = validate_row(SMALLEST, timezone="Europe/Berlin")
    assert isinstance(job, Job)
    assert (job.id, job.name, job.enabled, job.timezone) == (
        "7",
        "Water the plants",
        True,
        "Europe/Berlin",
    )
    assert (job.action.type, job.chat_id) == ("notify", None)
    assert (job.notify.queue, job.notify.on) == (None, ("success", "failure"))
    assert (job.notify.template, job.notify.stale_after) == (None, None)
    assert (job.retry.max_attempts, job.timeout, job.overlap) == (1, 300, "skip")
    assert (job.catchup.policy, job.catchup.window) == ("one", 3600)
    assert (job.queue, job.priority, job.tags, job.extra) == (None, None, (), {})
    assert job.warnings == ()


def test_every_field_of_the_contract_is_accepted() -> None:
    job = validate_row(EVERYTHING, timezone="UTC")
    assert isinstance(job, Job), job
    assert (job.id, job.name, job.enabled) == ("plants/7", "Water the plants 🪴", False)
    assert job.timezone == "Europe/Berlin"
    assert job.action.model_dump(by_alias=True) == EVERYTHING["action"] | {
        "method": "PATCH",
        "expect_status": (200, 204),
        "body": None,
    }
    assert job.chat_id == -100123
    assert job.notify.model_dump() == EVERYTHING["notify"] | {
        "on": ("failure", "recovered"),
        "collapse": 1,
    }
    assert job.retry.model_dump() == EVERYTHING["retry"]
    assert job.catchup.model_dump() == EVERYTHING["catchup"]
    assert (job.timeout, job.overlap, job.queue, job.priority) == (30, "queue", "slow", 9)
    assert job.tags == ("garden", "home")
    assert job.warnings == ()


def test_null_counts_as_not_given() -> None:
    nulls = dict.fromkeys(EVERYTHING, None) | {"unheard_of": None}
    nulls["notify"] = dict.fromkeys(("queue", "on", "template", "stale_after"))
    nulls["retry"] = dict.fromkeys(("max_attempts", "backoff", "max_backoff"))
    nulls["action"] = {"type": "notify", "url": None}
    assert validate_row(nulls | SMALLEST, timezone="UTC") == validate_row(SMALLEST, timezone="UTC")
    assert errors(name=None) == ("`name`: is missing; expected text of 1 to 1000 characters",)


def test_an_empty_text_counts_as_not_given_unless_the_field_is_required() -> None:
    empty = dict.fromkeys(EVERYTHING.keys() - {"id", "name"} | {"rrule", "unheard_of"}, "")
    assert validate_row(empty | SMALLEST, timezone="UTC") == validate_row(SMALLEST, timezone="UTC")
    assert errors(name="") == ("`name`: expected text of 1 to 1000 characters, got ''",)


HTTP = {"type": "http", "url": "https://example.org"}


@pytest.mark.parametrize(
    ("fields", "plain"),
    [
        *(({name: []}, {}) for name in ("notify", "retry", "catchup")),
        ({"retry": {"max_attempts": "", "backoff": 5}}, {"retry": {"backoff": 5}}),
        ({"catchup": {"policy": "", "window": ""}}, {}),
        ({"notify": {"queue": "", "template": "", "on": ""}}, {}),
        (
            {"action": HTTP | {"headers": [], "body": "", "method": "", "expect_status": ""}},
            {"action": HTTP},
        ),
        ({"action": HTTP | {"body": "", "json": 1}}, {"action": HTTP | {"json": 1}}),
    ],
)
def test_empty_values_of_php_and_forms_count_as_not_given(
    fields: dict[str, Any], plain: dict[str, Any]
) -> None:
    assert accepted(**fields).to_document() == accepted(**plain).to_document()


def test_an_empty_value_that_a_field_takes_is_a_value() -> None:
    assert accepted(notify={"on": [], "queue": ""}).notify.on == ()
    for empty in ([], "", {}):
        job = accepted(action=HTTP | {"json": empty})
        assert job.action.model_dump()["payload"] == empty
        assert Job.from_document(job.to_document()).action == job.action


@pytest.mark.parametrize(
    ("tags", "fault"),
    [
        ("prod backup", "`tags`: expected a list of at most 50 texts of 1 to 100 characters, got "),
        (["a", 5], "`tags[1]`: expected text of 1 to 100 characters, got 5"),
        ({"a": 1}, "`tags`: expected a list of at most 50 texts of 1 to 100 characters, got "),
        ([1] * 51, "`tags`: expected at most 50 items, got 51"),
    ],
)
def test_faulty_tags_are_left_out_with_a_warning(tags: Any, fault: str) -> None:
    job = accepted(tags=tags, colour="red")
    assert job.tags == ()
    _, warning = job.warnings
    assert warning.startswith(f"left out: {fault}")
    stored = Job.from_document(job.to_document())
    assert (stored.warnings, stored.unknown_fields) == (job.warnings, ("colour",))


@pytest.mark.parametrize(
    ("field", "value", "mapping"),
    [
        ("schedule", "0 9 * * *", '{"cron_expression": "schedule"}'),
        ("cron", "@daily", '{"cron_expression": "cron"}'),
        ("crontab", {"minute": "0"}, '{"cron_expression": "crontab.minute"}'),
        ("interval", 60, '{"every": "interval"}'),
        ("interval", "5m", '{"every": "interval"}'),
        ("schedule", 60, '{"every": "schedule"}'),
        ("rule", "FREQ=DAILY", '{"rrule": "rule"}'),
        ("rule", "0 9 * * *", '{"cron_expression": "rule"}'),
        ("schedule", {"the rule": "0 9 * * *"}, r'{"cron_expression": "schedule.\"the rule\""}'),
    ],
)
def test_a_row_with_its_schedule_elsewhere_is_told_to_map_it(
    field: str, value: Any, mapping: str
) -> None:
    (found,) = errors(cron_expression=None, **{field: value})
    assert found == (
        "`schedule`: needs exactly one of cron_expression, every, run_at or rrule; found none; "
        f"if `{field}` is the schedule, map it: CRON_TASKS_REST_MAPPING={mapping}"
    )
    assert "map it" not in errors(cron_expression=5, **{field: value})[0]


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("Mon..Fri *-*-* 09:00:00", "this is OnCalendar of systemd: write '0 9 * * MON-FRI'"),
        ("*-*-* 02:00", "this is OnCalendar of systemd: write '0 2 * * *'"),
        ("sat,sunday 8:05", "this is OnCalendar of systemd: write '5 8 * * SAT,SUN'"),
        ("*-*-01 04:00:00", "this is OnCalendar of systemd: write '0 4 1 * *'"),
        ("*:0/15", "this is OnCalendar of systemd: write five fields, such as '0 9 * * MON-FRI'"),
        ("Mon..Sun *-*-* 9:00", "write five fields, such as '0 9 * * MON-FRI'"),
        ("Mon *-*-1..7 10:00", "write five fields, such as '0 9 * * MON-FRI'"),
        ("daily", "write '@daily'"),
        ("2026-12-01 09:00", "the time of a job that runs once is its `run_at`"),
        ("0 9 * * Mon..Fri", "a range has '-'; write 'MON-FRI'"),
        ("0 0 9 ? * MON-FRI 2027", "the seventh field of Quartz is the year: leave it out"),
        ("0 0 9 ? * 2-6 *", "write weekdays as names, because 1 is Monday here and Sunday there"),
        ("? 0 9 * * *", "'?' is only for day-of-month or weekday; write *"),
        ("0 9 * * ? *", "if the last field is a year, write '0 9 * * ?'"),
        ("cron(0 9 ? * MON-FRI *)", "without cron(…) and the year it is '0 9 ? * MON-FRI'"),
        ("rate(5 minutes)", "use `every: 5m`"),
    ],
)
def test_a_schedule_of_another_scheduler_gets_a_hint(expression: str, hint: str) -> None:
    assert hint in "; ".join(errors(cron_expression=expression))


def test_a_hint_is_a_valid_expression() -> None:
    for expression in ("Mon..Fri *-*-* 09:00:00", "*-*-* 02:00", "Sun 8:05", "*-*-31 *:30"):
        hint = errors(cron_expression=expression)[0].rpartition("write ")[2].strip("'")
        assert accepted(cron_expression=hint).expression == hint


@pytest.mark.parametrize(
    ("fields", "expression", "zone"),
    [
        ({"cron_expression": "0 9 * * *"}, "0 9 * * *", "UTC"),
        ({"cron_expression": "@daily"}, "@daily", "UTC"),
        (
            {"cron_expression": "CRON_TZ=Europe/Berlin 0 9 * * mon"},
            "CRON_TZ=Europe/Berlin 0 9 * * mon",
            "Europe/Berlin",
        ),
        ({"every": 900}, "900", "UTC"),
        ({"every": "PT15M", "timezone": "Asia/Tokyo"}, "PT15M", "Asia/Tokyo"),
        ({"run_at": "2099-12-01T09:00"}, "2099-12-01T09:00", "UTC"),
        ({"rrule": "FREQ=DAILY", "start_at": "2026-01-01"}, "FREQ=DAILY", "UTC"),
    ],
)
def test_a_job_shows_its_rule_as_it_was_written(
    fields: dict[str, Any], expression: str, zone: str
) -> None:
    job = accepted(**{"cron_expression": None} | fields)
    stored = Job.from_document(job.to_document())
    assert (stored.expression, stored.timezone) == (job.expression, job.timezone)
    assert (stored.expression, stored.timezone) == (expression, zone)
    assert stored.schedule == job.schedule


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (
            {"cron_expression": "99 25 * * *"},
            (
                "`cron_expression`: minute 99 is not in 0–59",
                "`cron_expression`: hour 25 is not in 0–23",
            ),
        ),
        (
            {"timezone": "Europe/Berln", "cron_expression": 5},
            (
                "`timezone`: unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?",
                "`cron_expression`: 5 is not a text such as '0 9 * * *'",
            ),
        ),
        (
            {"every": 60},
            (
                "`schedule`: needs exactly one of cron_expression, every, run_at or rrule; "
                "found cron_expression and every",
            ),
        ),
    ],
)
def test_errors_of_a_schedule(fields: dict[str, Any], found: tuple[str, ...]) -> None:
    assert errors(**fields) == found


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"id": None}, "`id`: expected a whole number, or text of 1 to 200 printable characters, "),
        ({"id": True}, "`id`: expected a whole number, or text of 1 to 200 printable characters, "),
        ({"id": ""}, "`id`: expected a whole number, or text of 1 to 200 printable characters, "),
        ({"id": "a\nb"}, r"`id`: expected a whole number, or text of 1 to 200 printable charact"),
        ({"id": 7.0}, "`id`: expected a whole number, or text of 1 to 200 printable characters, "),
        ({"name": 5}, "`name`: expected text of 1 to 1000 characters, got 5"),
        ({"name": ""}, "`name`: expected text of 1 to 1000 characters, got ''"),
        (
            {"name": "\ud800"},
            r"`name`: expected text of 1 to 1000 characters, got '\ud800'",
        ),
        ({"cron_expression": 5}, "`cron_expression`: 5 is not a text such as '0 9 * * *'"),
        ({"timezone": 5}, "`timezone`: unknown time zone 5"),
        ({"jitter": 1.5}, "`jitter`: 1.5 is not a whole number of seconds from 0 to 2,678,400"),
        ({"exclude": "Christmas"}, "`exclude`: Christmas is not one of a date, {from, to} of "),
        ({"exclude": [5]}, "`exclude`: 5 is not one of a date, {from, to} of dates in order"),
        ({"enabled": "perhaps"}, "`enabled`: expected true or false, got 'perhaps'"),
        ({"is_active": "perhaps"}, "`is_active`: expected true or false, got 'perhaps'"),
        (
            {"is_active": True, "enabled": False},
            "`is_active`: contradicts `enabled`",
        ),
        ({"chat_id": True}, "`chat_id`: expected a whole number, or text of 1 to 200 characters, "),
        ({"chat_id": 2**63}, "`chat_id`: expected a whole number, or text of 1 to 200 character"),
        ({"notify": 5}, '`notify`: expected an object such as {"on": ["failure"]}, got 5'),
        ({"action": []}, '`action`: expected an object such as {"type": "notify"}, got []'),
        ({"notify": {"queue": "a b"}}, "`notify.queue`: expected a queue name of 1 to 200 print"),
        (
            {"notify": {"queue": "redbeat::schedule"}},
            "`notify.queue`: 'redbeat::schedule' is a name that Celery or the scheduler uses",
        ),
        ({"notify": {"on": "failure"}}, "`notify.on`: expected a list of any of success, failure"),
        (
            {"notify": {"on": ["fail"]}},
            "`notify.on[0]`: expected one of success, failure, retry, skipped, missed, late, "
            "recovered, got 'fail'",
        ),
        (
            {"notify": {"template": "Hi $nme"}},
            "`notify.template`: unknown placeholder '$nme'; known: name, id, run_id, ",
        ),
        (
            {"notify": {"template": "Hi ${wibble}"}},
            "`notify.template`: unknown placeholder '$wibble'; known: name, id, run_id, ",
        ),
        (
            {"notify": {"template": "5 $"}},
            "`notify.template`: the `$` at character 3 names no field; write `$$` for a `$`",
        ),
        ({"notify": {"stale_after": 0}}, "`notify.stale_after`: expected a number of seconds abo"),
        (
            {"retry": {"max_attempts": "x"}},
            "`retry.max_attempts`: expected a whole number from 1 to 100, got 'x'",
        ),
        ({"retry": {"max_attempts": 101}}, "`retry.max_attempts`: expected a whole number from 1"),
        ({"retry": {"max_attempts": True}}, "`retry.max_attempts`: expected a whole number from "),
        ({"retry": {"backoff": -1}}, "`retry.backoff`: expected a number of seconds from 0 to 60"),
        ({"retry": {"max_backoff": float("nan")}}, "`retry.max_backoff`: expected a number of sec"),
        ({"timeout": 0}, "`timeout`: expected a number of seconds above 0, at most 604800, got 0"),
        ({"timeout": 10**400}, "`timeout`: expected a number of seconds above 0, at most 604800, "),
        ({"timeout": "30"}, "`timeout`: expected a number of seconds above 0, at most 604800, got"),
        (
            {"overlap": "skipp"},
            "`overlap`: expected skip, queue, allow or replace, got 'skipp'; did you mean 'skip'?",
        ),
        ({"catchup": "none"}, '`catchup`: expected an object such as {"policy": "one", "window": '),
        ({"catchup": {"policy": "al"}}, "`catchup.policy`: expected one, none or all, got 'al'"),
        ({"catchup": {"window": -1}}, "`catchup.window`: expected a number of seconds from 0 to "),
        ({"queue": "a\u202eb"}, r"`queue`: expected a queue name of 1 to 200 printable characters"),
        (
            {"queue": "cron_tasks:open"},
            "`queue`: 'cron_tasks:open' is a name that Celery or the",
        ),
        ({"priority": 10}, "`priority`: expected a whole number from 0 to 9, got 10"),
        ({"action": "notify"}, '`action`: expected an object such as {"type": "notify"}, got \'no'),
        ({"action": {}}, "`action.type`: is missing; expected notify, http or task"),
        (
            {"action": {"type": "htp"}},
            "`action.type`: expected notify, http or task, got 'htp'; did you mean 'http'?",
        ),
        ({"notify": {"on": ["sucess"]}}, "`notify.on[0]`: expected "),
        ({"action": {"type": ["http"]}}, "`action.type`: expected notify, http or task, got ['htt"),
    ],
)
def test_an_error_names_the_field_the_fault_and_the_fix(fields: dict[str, Any], error: str) -> None:
    (found,) = errors(**fields)
    assert found.startswith(error)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "`action.url`: is missing; expected a URL of 1 to 2000 printable characters"),
        ({"url": "example.org"}, "`action.url`: expected an http or https URL with a host, got"),
        ({"url": "file:///etc"}, "`action.url`: expected an http or https URL with a host, got"),
        ({"url": "http://a:99999"}, "`action.url`: expected an http or https URL with a host, g"),
        ({"url": "http://[::1"}, "`action.url`: expected an http or https URL with a host, got"),
        ({"url": "http://a/ b"}, "`action.url`: expected a URL of 1 to 2000 printable character"),
        ({"url": "http://a", "method": "gett"}, "`action.method`: expected GET, HEAD, POST, PUT"),
        ({"url": "http://a", "headers": {"A B": "x"}}, "`action.headers`: expected headers, nam"),
        ({"url": "http://a", "headers": {"A": "x\r\nB: y"}}, "`action.headers`: expected heade"),
        ({"url": "http://a", "headers": {"A": "€"}}, "`action.headers`: expected headers, names"),
        ({"url": "http://a", "headers": {"A": 5}}, "`action.headers`: expected headers, names a"),
        ({"url": "http://a", "body": "x", "json": 0}, "`action`: give `body` or `json`, not both"),
        ({"url": "http://a", "json": [2**64]}, "`action.json`: expected a JSON value that can b"),
        ({"url": "http://a", "json": nested(99)}, "`action.json`: expected a JSON value that ca"),
        ({"url": "http://a", "json": "x" * 70_000}, "`action.json`: expected at most 65536 bytes"),
        ({"url": "http://a/$nme"}, "`action.url`: unknown placeholder '$nme'; known: name, id, "),
        ({"url": "http://$id/"}, "`action.url`: a placeholder cannot stand in the host of a URL"),
        ({"url": "http://a..b/"}, "`action.url`: expected an http or https URL with a host, got"),
        ({"url": "http://a", "headers": {"A": "$"}}, "`action.headers`: the `$` at character 1 n"),
        ({"url": "http://a", "headers": {"te": "x"}}, "`action.headers`: te cannot be set: "),
        ({"url": "http://a", "headers": {"A": "x", "a": "y"}}, "`action.headers`: a is given more"),
        ({"url": "http://a", "body": "${secret:}"}, "`action.body`: the secret at character 1 ha"),
        ({"url": "http://a", "body": "${secret:../x}"}, "`action.body`: the secret at character"),
        ({"url": "http://a", "json": [{"a": "$x"}]}, "`action.json`: unknown placeholder '$x'; k"),
        ({"url": "http://a", "expect_status": 999}, "`action.expect_status[0]`: expected a whole"),
        ({"url": "http://a", "expect_status": "2xx"}, "`action.expect_status`: expected an HTTP"),
    ],
)
def test_errors_of_an_http_action(fields: dict[str, Any], error: str) -> None:
    (found,) = errors(action={"type": "http"} | fields)
    assert found.startswith(error)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "`action.name`: is missing; expected the name of a Celery task of 1 to 200 print"),
        ({"name": "a b"}, "`action.name`: expected the name of a Celery task of 1 to 200 printa"),
        ({"name": "a", "args": {}}, "`action.args`: expected a list, got {}"),
        ({"name": "a", "kwargs": [1]}, "`action.kwargs`: expected an object, got [1]"),
        ({"name": ""}, "`action.name`: expected the name of a Celery task of 1 to 200 printable"),
        ({"name": "a", "args": ["\ud800"]}, "`action.args`: expected a JSON value that can be s"),
    ],
)
def test_errors_of_a_task_action(fields: dict[str, Any], error: str) -> None:
    (found,) = errors(action={"type": "task"} | fields)
    assert found.startswith(error)


def test_every_error_of_a_row_at_once() -> None:
    found = errors(
        tags=5,
        retry={"max_attempts": 0, "backoff": "x"},
        exclude=5,
        timezone="Europe/Berln",
        cron_expression=5,
        name=5,
        id=[],
    )
    assert [error.split(":")[0] for error in found] == [
        "`id`",
        "`timezone`",
        "`exclude`",
        "`cron_expression`",
        "`name`",
        "`retry.max_attempts`",
        "`retry.backoff`",
        "`tags`",
    ]


@pytest.mark.parametrize("row", [None, 5, "x", [], [SMALLEST], True, ABYSS])
def test_a_row_that_is_not_an_object_is_rejected(row: Any) -> None:
    rejected = validate_row(row, timezone="UTC", place="row 2")
    assert isinstance(rejected, Rejected)
    assert rejected.id is None
    assert rejected.errors[0].startswith("expected an object, got ")


HARMLESS = "Zażółć \x00\x1b[31m\u202e日本\n" * 10


@pytest.mark.parametrize(
    ("fields", "valid"),
    [
        ({"name": HARMLESS}, True),
        ({"name": "x" * 2**20}, False),
        ({"cron_expression": "* " * 2**19}, False),
        ({"notify": {"template": HARMLESS}}, True),
        ({"chat_id": HARMLESS[:50]}, True),
        ({"wibble": "x" * 2**20}, True),
        ({"wibble": ABYSS}, True),
        ({"wibble": 10**5000}, True),
        ({"\ud800": float("inf")}, True),
        ({"x" * 2**20: 1}, True),
        ({f"x{n}": n for n in range(5000)}, True),
        ({"retry": {"\ud800": nested(9000)}}, True),
        ({"tags": ABYSS}, True),
        ({"action": ABYSS}, False),
        ({"exclude": ABYSS}, False),
        ({"every": 10**5000, "cron_expression": None}, False),
        ({"rrule": "FREQ=DAILY;" * 5000, "cron_expression": None}, False),
        ({"rrule": "".join(f"X{n}=;" for n in range(5000)), "cron_expression": None}, False),
        ({"cron_expression": ABYSS}, False),
        ({"exclude": ["2026-12-25"] * 50_000}, False),
        ({"id": 10**5000}, False),
    ],
    ids=lambda value: None if isinstance(value, bool) else "row",
)
def test_hostile_rows_never_raise(fields: dict[str, Any], valid: bool) -> None:
    result = validate_row(SMALLEST | fields, timezone="UTC")
    assert isinstance(result, Job) is valid
    fingerprint_row(SMALLEST | fields, "UTC")
    if isinstance(result, Job):
        assert Job.from_document(result.to_document()) == result
        assert len(result.to_document()) < 20_000
        assert all(len(line) < 2000 for line in result.warnings)
    else:
        assert sum(map(len, result.errors)) < 3000


def test_text_is_kept_as_it_is() -> None:
    job = accepted(name=HARMLESS)
    assert job.name == HARMLESS
    assert Job.from_document(job.to_document()).name == HARMLESS


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        (
            {"crn_expression": "x"},
            "unknown and therefore ignored: `crn_expression` (did you mean `cron_expression`?)",
        ),
        ({"created_at": "2026-01-01"}, "unknown and therefore ignored: `created_at`"),
        (
            {"created_at": "2026-01-01", "user_id": 5, "max_attempts": 3},
            "unknown and therefore ignored: `created_at`, `user_id`, `max_attempts` "
            "(did you mean `retry.max_attempts`?)",
        ),
        (
            {"retry": {"max_atempts": 3}},
            "unknown and therefore ignored: `retry.max_atempts` "
            "(did you mean `retry.max_attempts`?)",
        ),
        ({"schedule": "daily", "extra": 5}, "unknown and therefore ignored: `schedule`, `extra`"),
        ({"a\x1b\u202e": 1}, r"unknown and therefore ignored: `a\x1b\u202e`"),
    ],
)
def test_unknown_fields_are_kept_and_ignored_with_one_warning(
    fields: dict[str, Any], warning: str
) -> None:
    job = accepted(**fields)
    assert job.warnings == (warning,)
    stored = Job.from_document(job.to_document())
    assert (stored, stored.warnings) == (job, job.warnings)


def test_reports_about_a_job_are_not_part_of_it() -> None:
    """Reports of ours that come back, and when the row was saved."""
    said = dict.fromkeys(REMARKS, "2026-11-23T09:00:00Z")
    assert {"last_run_at", "last_status", "config_error", "updated_at"} <= REMARKS
    assert fingerprint_row(SMALLEST | said, "UTC") == fingerprint_row(SMALLEST, "UTC")
    assert accepted(**said) == accepted()


def test_unknown_fields_can_be_seen() -> None:
    job = Job.from_document(accepted(colour="green", notify={"sound": "loud"}).to_document())
    assert job.extra == {"colour": "green"}
    assert job.notify.model_extra == {"sound": "loud"}


@pytest.mark.parametrize(
    ("identity", "text"),
    [
        (7, "7"),
        ("7", "7"),
        (-7, "-7"),
        (2**80, str(2**80)),
        ("a/b c:ü", "a/b c:ü"),
        ("x" * 200, "x" * 200),
        ("x" * 201, None),
        ("", None),
        ("a\tb", None),
        ("\ud800", None),
        (True, None),
        (7.0, None),
        (None, None),
        ([7], None),
        pytest.param(10**5000, None, id="huge"),
    ],
)
def test_the_id_of_a_row(identity: Any, text: str | None) -> None:
    assert row_id({"id": identity}) == text
    assert row_id([identity]) is None
    result = validate_row(SMALLEST | {"id": identity}, timezone="UTC")
    assert result.id == text
    assert isinstance(result, Job) is (text is not None)


def test_a_fingerprint_changes_with_the_row_and_with_the_salt_only() -> None:
    same = fingerprint_row(SMALLEST, "UTC")
    assert same == fingerprint_row(dict(reversed(SMALLEST.items())), "UTC")
    assert len(same) == 16
    others = [
        fingerprint_row(SMALLEST, "Europe/Berlin"),
        fingerprint_row(SMALLEST | {"id": "7"}, "UTC"),
        fingerprint_row(SMALLEST | {"name": "water the plants"}, "UTC"),
        fingerprint_row(SMALLEST | {"chat_id": 2**70}, "UTC"),
        fingerprint_row(SMALLEST | {"chat_id": 2**71}, "UTC"),
        fingerprint_row(SMALLEST | {"chat_id": 2**71, "name": "Mow"}, "UTC"),
        fingerprint_row(SMALLEST | {"retry": {"wibble": 1}}, "UTC"),
        fingerprint_row(SMALLEST | {"mapped_to_null": ["enabled"]}, "UTC"),
    ]
    assert len({same, *others}) == 9


@pytest.mark.parametrize("field", ["n_pings", "last_ping", "created_at", "wibble", "a b", "7"])
def test_a_field_that_no_job_has_does_not_change_the_fingerprint(field: str) -> None:
    """Services keep counters and times in the same row."""
    same = fingerprint_row(SMALLEST, "UTC")
    for value in (1, 2**70, None, "", {"nested": [1]}):
        assert fingerprint_row(SMALLEST | {field: value}, "UTC") == same


@pytest.mark.parametrize("row", [SMALLEST, EVERYTHING, SMALLEST | {"wibble": [1, {"a": None}]}])
def test_a_document_contains_the_job(row: dict[str, Any]) -> None:
    job = validate_row(row, timezone="America/New_York")
    assert isinstance(job, Job), job
    assert Job.from_document(job.to_document()) == job
    assert Job.from_document(job.to_document().decode()) == job


def test_a_document_contains_only_what_differs_from_the_defaults() -> None:
    document = accepted(enabled=True, retry={"max_attempts": 1}, tags=[], timeout=300).to_document()
    assert document == accepted().to_document()
    assert len(document) < 120
    assert orjson.loads(document).keys() == {"id", "name", "schedule"}


GOOD = accepted().to_document()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b"\xff\xfe",
        "\udcff",
        b'{"schedule": null}',
        b'{"schedule": {"wibble": 1}}',
        b"[" * 5000,
        GOOD.replace(b'"name"', b'"nome"'),
        GOOD.replace(b'"id":"7"', b'"id":7'),
        GOOD.replace(b"{", b'{"timeout":"soon",', 1),
        GOOD.replace(b"{", b'{"retry":{"max_attempts":0},', 1),
        GOOD.replace(b"{", b'{"extra":5,', 1),
    ],
)
def test_a_broken_document_is_one_sentence(document: bytes | str) -> None:
    with pytest.raises(BrokenDocument) as caught:
        Job.from_document(document)
    assert isinstance(caught.value, ValueError)
    assert is_one_line(str(caught.value))


@pytest.mark.parametrize(
    ("action", "verb"),
    [
        ({}, "GET"),
        ({"body": "x"}, "POST"),
        ({"json": False}, "POST"),
        ({"json": {}, "method": "put"}, "PUT"),
        ({"method": "delete"}, "DELETE"),
    ],
)
def test_the_method_of_an_http_action(action: dict[str, Any], verb: str) -> None:
    job = accepted(action={"type": "http", "url": "https://example.org"} | action)
    assert job.action.effective_method == verb


@pytest.mark.parametrize("name", TEMPLATE_FIELDS)
def test_a_template_may_name_each_of_its_fields(name: str) -> None:
    assert accepted(notify={"template": f"${name} ${{{name}}}"}).notify.template


def is_one_line(text: str) -> bool:
    categories = {unicodedata.category(char) for char in text}
    return bool(text) and not categories & {"Cc", "Cs", "Zl", "Zp"}


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
NEARLY = st.sampled_from(
    ["0 9 * * *", "PT1M", "Europe/Berlin", "2026-12-25", "FREQ=DAILY", "skip", "$name", 1, 3, []]
)
OBJECTS = {
    name: st.dictionaries(st.sampled_from(sorted(value)), ANY_JSON | NEARLY, max_size=4)
    for name, value in EVERYTHING.items()
    if isinstance(value, dict)
}
OTHERS = dict.fromkeys(("cron_expression", "run_at", "rrule", "enabled"))
ROWS = st.fixed_dictionaries(
    {},
    optional={
        name: st.just(value) | OBJECTS.get(name, NEARLY) | ANY_JSON
        for name, value in (OTHERS | EVERYTHING).items()
    },
)


def check(row: Any) -> None:
    result = validate_row(row, timezone="UTC", place="row 1")
    assert result.id == row_id(row)
    assert fingerprint_row(row, "UTC") == fingerprint_row(row, "UTC")
    if isinstance(result, Job):
        assert Job.from_document(result.to_document()) == result
        assert all(map(is_one_line, result.warnings))
    else:
        assert result.errors
        assert all(map(is_one_line, result.errors))


@settings(deadline=None)
@given(ANY_JSON)
def test_any_json_is_a_job_or_rejected(row: Any) -> None:
    check(row)


@settings(deadline=None)
@given(st.dictionaries(ANY_TEXT, ANY_JSON, max_size=3))
def test_any_object_beside_a_job(more: dict[str, Any]) -> None:
    check(more | SMALLEST)
    check(SMALLEST | more)


@settings(deadline=None)
@given(ROWS)
@example({"catchup": {"": float("inf")}})
def test_any_value_in_any_field(row: dict[str, Any]) -> None:
    check(row)
    check(SMALLEST | row)
