"""Values that other systems write: their meaning here, and which are rejected with which hint."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from schedule_helpers import NOW, faults, ticks

from cron_tasks.schedules import ScheduleError, from_spec, parse


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("*/90 * * * *",
         "minute '*/90': the step is larger than the range 0–59; for every 90 minutes,"
         " use `every: 90m`"),
        ("0 0 */40 * *",
         "day-of-month '*/40': the step is larger than the range 1–31; for every 40 days,"
         " use `every: 40d`"),
        ("*/60 * * * * *",
         "second '*/60': the step is larger than the range 0–59; for every 60 seconds,"
         " use `every: 60s`"),
        ("0 */24 * * *",
         "hour '*/24': the step is larger than the range 0–23; for every 24 hours,"
         " use `every: 24h`"),
        ("0 0 1 */12 *",
         "month '*/12': the step is larger than the range 1–12; for every 12 months,"
         " use `rrule: FREQ=MONTHLY;INTERVAL=12`"),
        ("0 0 * * */7",
         "weekday '*/7': the step is larger than the range 0–6; for every 7 days, use `every: 7d`"),
        ("10-20/30 * * * *", "minute '10-20/30': the step is larger than the range 10–20"),
        ("0 1-5/9 * * *", "hour '1-5/9': the step is larger than the range 1–5"),
        ("0 0 1-5/9 * *", "day-of-month '1-5/9': the step is larger than the range 1–5"),
        ("0 0 1 JAN-MAR/4 *", "month 'JAN-MAR/4': the step is larger than the range 1–3"),
        ("0 0 * * MON-FRI/5", "weekday 'MON-FRI/5': the step is larger than the range 1–5"),
        ("30/40 * * * *", "minute '30/40': the step is larger than the range 30–59"),
        ("0,20-30/11 * * * *", "minute '20-30/11': the step is larger than the range 20–30"),
        ("*/99999999999999 * * * *",
         "minute '*/99999999999999': the step is larger than the range 0–59"),
    ],
)  # fmt: skip
def test_a_step_beyond_its_range_is_rejected(expression: str, fault: str) -> None:
    assert faults(cron_expression=expression) == [("cron_expression", fault)]
    if hint := re.search("use `(every|rrule): ([^`]*)`", fault):
        assert parse(**{hint[1]: hint[2]}, start_at="2026-01-01")


@pytest.mark.parametrize("term", ["L/2", "LW/3"])
def test_a_step_after_the_last_day_is_rejected(term: str) -> None:
    assert faults(cron_expression=f"0 0 {term} * *") == [
        ("cron_expression", f"day-of-month '{term}': a step follows *, a number or a range")
    ]


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("5-5/1 * * * *", "5 * * * *"),
        ("0 0 5-5/1 * *", "0 0 5 * *"),
        ("0 0 1 JAN-1/1 *", "0 0 1 JAN *"),
        ("0 0 * * MON-MON/1,7-7/1", "0 0 * * MON,7"),
    ],
)
def test_a_range_of_one_with_a_step_is_one(expression: str, same: str) -> None:
    """Unlike `5/1`, which continues to the end of the field."""
    assert parse(cron_expression=expression).to_spec() == {"c": same}


@pytest.mark.parametrize(
    "expression",
    ["*/59 * * * *", "0 */23 * * *", "10-20/10 * * * *", "0 0 */30 * *", "59/1 * * * *"],
)
def test_a_step_within_its_range_is_accepted(expression: str) -> None:
    assert parse(cron_expression=expression).after(NOW)


@pytest.mark.parametrize("expression", ["*/90 * * * *", "0 0 * * 1/2", "1-5/9 * * * *"])
def test_specs_of_an_earlier_version_are_still_read(expression: str) -> None:
    stored = from_spec({"c": expression})
    assert stored.to_spec() == {"c": expression}
    assert stored.after(NOW)
    assert stored.describe()


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        ("0 0 ? * FRI", "0 0 * * FRI"),
        ("0 0 13 * ?", "0 0 13 * *"),
        ("0 0 12 ? * MON#2", "0 0 12 * * MON#2"),
        ("0 0 ? * ?", "0 0 * * *"),
    ],
)
def test_a_question_mark_for_a_day_means_any_day(expression: str, same: str) -> None:
    assert parse(cron_expression=expression) == parse(cron_expression=same)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("? 0 * * *", ["minute '?': '?' is only for day-of-month or weekday; write *"]),
        ("0 0 * ? *", ["month '?': '?' is only for day-of-month or weekday; write *"]),
        ("? ? 0 1 1 ?", [
            "second '?': '?' is only for day-of-month or weekday; write *",
            "minute '?': '?' is only for day-of-month or weekday; write *",
        ]),
        ("0 0 ?/2 * *", ["day-of-month '?/2': '?' stands alone in day-of-month or weekday;"
                         " write *"]),
        ("0 0 * * ?,1", ["weekday '?': '?' stands alone in day-of-month or weekday; write *"]),
    ],
)  # fmt: skip
def test_a_question_mark_elsewhere_is_rejected(expression: str, found: list[str]) -> None:
    assert faults(cron_expression=expression) == [("cron_expression", each) for each in found]


@pytest.mark.parametrize(
    ("weekday", "days", "words"),
    [
        ("1/2", "Mon Wed Fri", "Monday, Wednesday, and Friday"),
        ("MON/2", "Mon Wed Fri", "Monday, Wednesday, and Friday"),
        ("0/3", "Sun Wed Sat", "Sunday, Wednesday, and Saturday"),
        ("*/2", "Sun Tue Thu Sat", "Sunday, Tuesday, Thursday, and Saturday"),
        ("1-5/2", "Mon Wed Fri", "Monday, Wednesday, and Friday"),
        ("2,3/3", "Tue Wed Sat", "Tuesday, Wednesday, and Saturday"),
        ("1-7/3", "Sun Mon Thu", "Sunday, Monday, and Thursday"),
        ("4/2", "Thu Sat", "Thursday and Saturday"),
    ],
)
def test_a_weekday_with_a_step_continues_to_saturday(weekday: str, days: str, words: str) -> None:
    schedule = parse(cron_expression=f"0 0 * * {weekday}")
    sunday = datetime(2026, 11, 22, tzinfo=UTC)
    week = schedule.between(sunday, sunday + timedelta(days=7))
    assert " ".join(tick.strftime("%a") for tick in week) == days
    assert schedule.describe() == f"At 00:00 on {words} (UTC)"
    assert from_spec(schedule.to_spec()) == schedule


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("50/5 * * * *", ["11-23 12:50:00", "11-23 12:55:00", "11-23 13:50:00"]),
        ("0 20/2 * * *", ["11-23 20:00:00", "11-23 22:00:00", "11-24 20:00:00"]),
        ("0 0 25/3 * *", ["11-25 00:00:00", "11-28 00:00:00", "12-25 00:00:00"]),
        ("0 0 1 2/5 *", ["02-01 00:00:00", "07-01 00:00:00", "12-01 00:00:00"]),
    ],
)
def test_a_number_with_a_step_continues_to_the_end_of_its_field(
    expression: str, found: list[str]
) -> None:
    start = datetime(2027, 1, 2, tzinfo=UTC) if expression.startswith("0 0 1 ") else NOW
    assert ticks(parse(cron_expression=expression), start) == found


@pytest.mark.parametrize(
    ("days", "words", "among_14"),
    [
        ("13 * FRI", "on the 13th day of month or on Friday", "Fri06 Fri13"),
        ("13 * *", "on the 13th day of every month", "Fri13"),
        ("* * FRI", "on Friday", "Fri06 Fri13"),
        ("6 * THU", "on the sixth day of month or on Thursday", "Thu05 Fri06 Thu12"),
        ("*/5 * FRI", "on every fifth day of month if it's on Friday", "Fri06"),
        ("6 * */2", "on the sixth day of month if it's on Sunday, Tuesday, Thursday, and Saturday",
         ""),
        ("5-6 * THU,FRI", "on the fifth and the sixth day of month or on Thursday and Friday",
         "Thu05 Fri06 Thu12 Fri13"),
        ("5-6 2 MON", "on the fifth and the sixth day of month or on Monday in February",
         "Mon02 Thu05 Fri06 Mon09"),
        ("13 * MON#1", "on the 13th day of month or on the first Monday of the month",
         "Mon02 Fri13"),
        ("1-31 * FRI", "every day", "all"),
        ("13 * 0-6", "every day", "all"),
        ("13 * 1-7", "every day", "all"),
        ("*/1 * FRI", "on Friday", "Fri06 Fri13"),
        ("*,2 * FRI", "on Friday", "Fri06 Fri13"),
    ],
)  # fmt: skip
def test_the_description_shows_whether_both_days_count(
    days: str, words: str, among_14: str
) -> None:
    """1 to 14 February 2026 is a Sunday to a Saturday."""
    schedule = parse(cron_expression=f"0 0 {days}")
    start = datetime(2026, 2, 1, tzinfo=UTC)
    found = list(schedule.between(start, start + timedelta(days=14)))
    told = "all" if len(found) == 14 else " ".join(tick.strftime("%a%d") for tick in found)
    assert schedule.describe() == f"At 00:00 {words} (UTC)"
    assert told == among_14


def test_ordinals_are_english() -> None:
    days = "0 0 21,22,23,31,11 * *"
    words = "the 21st, the 22nd, the 23rd, the 31st, and the 11th day of month"
    assert words in parse(cron_expression=days).describe()


@pytest.mark.parametrize(
    "fields",
    [
        {"end_at": "9999-12-31T23:59:59Z"},
        {"end_at": "9999-12-31T23:59:59.9999999-12:00"},
        {"end_at": "9999-12-31T23:59:59+14:00"},
        {"end_at": "9999-12-31"},
        {"end_at": "9999-01-01T00:00"},
        {"end_at": datetime.max},
        {"end_at": datetime.max.replace(tzinfo=UTC)},
        {"start_at": "0001-01-01T00:00:00Z"},
        {"start_at": "0001-01-01T00:00:00+14:00"},
        {"start_at": "0001-01-01T00:00:00-12:00"},
        {"start_at": "0001-01-01"},
        {"start_at": datetime.min, "end_at": datetime.max},
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_extreme_times_of_other_systems_mean_no_limit(fields: dict[str, Any], zone: str) -> None:
    endless = parse(cron_expression="0 9 * * *", timezone=zone)
    assert parse(cron_expression="0 9 * * *", timezone=zone, **fields) == endless


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"start_at": "9999-12-31T00:00:00Z"}, "start_at"), ({"end_at": "0001-01-01"}, "end_at")],
)
def test_an_impossible_window_is_rejected(fields: dict[str, Any], field: str) -> None:
    assert faults(every=60, **fields) == [
        (field, f"{fields[field]!r} lies outside the years 2 to 9998")
    ]


@pytest.mark.parametrize(
    ("zone", "meant"),
    [
        ("PST", "America/Los_Angeles"),
        ("pdt", "America/Los_Angeles"),
        ("CEST", "Europe/Berlin"),
        ("BST", "Europe/London"),
        ("IST", "Asia/Kolkata"),
        ("SST", "Pacific/Pago_Pago"),
        ("CAT", "Africa/Maputo"),
        ("Z", "UTC"),
        ("UTC+1", "Etc/GMT-1"),
        ("-05:00", "Etc/GMT+5"),
        ("+00:00", "UTC"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("right/UTC", "Etc/UTC"),
        ("localtime", None),
        ("Localtime", None),
        ("Factory", None),
        ("UTC+5:30", None),
    ],
)
def test_a_suggested_zone_is_valid(zone: str, meant: str | None) -> None:
    ((_, message),) = faults(every=60, timezone=zone)
    hint = f"; did you mean '{meant}'?" if meant else ""
    assert message == f"unknown time zone '{zone}'{hint}"
    if meant:
        assert parse(every=60, timezone=meant).timezone == meant


@pytest.mark.parametrize(
    ("nickname", "hint"),
    [
        ("@every", "; write '@every 5m', or the field `every`"),
        ("@every5m", "; write '@every 5m', or the field `every`"),
        ("@minutely", "; write '* * * * *'"),
        ("@secondly", "; write '* * * * * *'"),
        ("@weekdays", "; write '0 0 * * MON-FRI'"),
        ("@quarterly", "; write '0 0 1 */3 *'"),
        ("@hourli", "; did you mean '@hourly'?"),
        ("@reboot", ""),
    ],
)
def test_a_suggested_expression_is_valid(nickname: str, hint: str) -> None:
    assert faults(cron_expression=nickname) == [
        ("cron_expression", f"unknown nickname '{nickname}'{hint}")
    ]
    if meant := re.search("'(.*)'", hint):
        assert parse(cron_expression=meant[1])


@pytest.mark.parametrize(
    "text",
    [
        "@every", "@EVERY", "@minutely", "@yearl", "@daily daily", "0 9 * * FRY", "0 9 * sep. *",
        "0 9 * * MONDAY", "0 9 * JANUARY *", "0 9 * * L",
    ],
)  # fmt: skip
def test_a_suggestion_never_repeats_the_input(text: str) -> None:
    for _, message in faults(cron_expression=text):
        for meant in re.findall("did you mean '(.*?)'", message):
            assert meant not in text.split()


@pytest.mark.parametrize(
    "text",
    [
        "cron(0 9 ? * MON-FRI *)", "cron(0 9 L-3 * ? *)", "cron(0 9 ? * L *)", "cron(99 9 * * ? *)",
        "cron(0 0 31 2 ? *)", "cron(0 9 * *)", "cron()", "cron(abc)", "rate(5 minutes)",
        "rate(5 months)", "rate(1 fortnight)", "rate(0 minutes)", "rate(99999 days)", "rate(x y)",
        "Mon..Fri 25:00", "*-*-99 4:00", "9:60", "*:99", "Mon..Sun 9:00", "sun 9:00",
        "0 0 32 1 ? *", "0 0 L-1 * ? *", "0 0 1 1 ? *",
    ],
)  # fmt: skip
def test_a_suggestion_in_place_of_another_syntax_is_accepted(text: str) -> None:
    (*_, (_, message)) = faults(cron_expression=text)
    for meant in re.findall("(?:write|such as|it is) '(.*?)'", message):
        assert parse(cron_expression=meant)
    for meant in re.findall("`every: (.*?)`", message):
        assert parse(every=meant).to_spec() == {"e": 300}


def test_a_time_in_lower_case() -> None:
    """RFC 3339, section 5.6, allows it."""
    assert parse(run_at="2027-03-01t09:00:00z") == parse(run_at="2027-03-01T09:00:00Z")


@pytest.mark.parametrize(
    ("every", "seconds"),
    [("90m", 5400), ("5min", 300), ("5 min", 300), ("40d", 3_456_000), ("1d12h", 129_600),
     ("2w", 1_209_600), ("30s", 30), ("1h30m", 5400), ("PT90M", 5400),
     ("1,5m", 90)],
)  # fmt: skip
def test_every_accepts_the_units_of_the_command_line(every: str, seconds: int) -> None:
    assert parse(every=every).to_spec() == {"e": seconds}


@pytest.mark.parametrize(
    "every", ["m", "1M30H", "5 months", "P5M", "1h30", "1 1m", "1,000", "1,500s"]
)
def test_every_rejects_other_units(every: str) -> None:
    with pytest.raises(ScheduleError, match="neither seconds nor an ISO 8601 duration"):
        parse(every=every)
