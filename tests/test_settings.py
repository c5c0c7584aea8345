"""Settings: their sources, and the errors for wrong ones."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import kombu
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cron_tasks.errors import SettingsError
from cron_tasks.jobs.job import TIMING, Job
from cron_tasks.jobs.validation import validate_row
from cron_tasks.settings import PREFIX, Settings, load
from cron_tasks.settings.table import render_markdown
from cron_tasks.settings.values import MAPPABLE
from cron_tasks.store.urls import parse_redis_url
from cron_tasks.text.display import printable
from cron_tasks.text.urls import mask_passwords

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    load.cache_clear()
    yield
    load.cache_clear()


def given_values(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name.upper(), value)


def complaint(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    given_values(monkeypatch, **values)
    with pytest.raises(SettingsError) as caught:
        load()
    return str(caught.value)


def test_defaults_are_those_of_the_contract() -> None:
    found = load()
    assert found.redis_url.get_secret_value() == "redis://localhost:6379/0"
    assert found.rest_url is None
    assert found.rest_token is None
    assert found.chat_id is None
    assert found.rest_mapping == {}
    assert (found.rest_jobs_path, found.notify_queue) == ("/api/cronjobs/", "queue:to_telegram")
    assert (found.notify_transport, found.telegram_token) == ("list", None)
    assert (found.rest_timeout, found.rest_deadline, found.rest_max_bytes) == (10, 60, 256 << 20)
    assert (found.sync_interval, found.shrink_limit, found.misfire_grace) == (60, 0.5, 15)
    assert (found.history_runs, found.history_days) == (20, 7)
    assert (found.timezone, found.log_level) == ("UTC", "INFO")
    assert found.log_format == ("console" if sys.__stderr__.isatty() else "json")
    assert set(found.origins.values()) == {"default"}
    assert found.warnings == ()


def test_environment_before_dotenv_before_secret_files_before_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("CRON_TASKS_SYNC_INTERVAL", "CRON_TASKS_TIMEZONE", "CRON_TASKS_CHAT_ID"):
        (secrets / name).write_text("nonsense")
    (secrets / "CRON_TASKS_CHAT_ID").write_text("300\n")
    (secrets / "cron_tasks_rest_token").write_text("of-a-file\n")
    (secrets / "other_secret").write_text("not ours")
    Path(".env").write_text(
        "CRON_TASKS_SYNC_INTERVAL=nonsense\nCRON_TASKS_TIMEZONE=Europe/Berlin\nOTHER=1\n"
        f"CRON_TASKS_SECRETS_DIR={secrets}\nCRON_TASKS_LOG_LEVEL=\n"
    )
    given_values(monkeypatch, sync_interval="30", notify_queue="")
    found = load()
    assert (found.sync_interval, found.origins["sync_interval"]) == (30, "environment")
    assert (found.timezone, found.origins["timezone"]) == ("Europe/Berlin", ".env")
    assert (found.chat_id, found.origins["chat_id"]) == (
        300,
        f"secret file in {secrets}",
    )
    assert found.rest_token is not None
    assert found.rest_token.get_secret_value() == "of-a-file"
    assert found.origins["rest_token"] == f"secret file in {secrets}"
    assert (found.notify_queue, found.origins["notify_queue"]) == ("queue:to_telegram", "default")
    assert (found.log_level, found.origins["log_level"]) == ("INFO", "default")
    assert found.warnings == ()
    assert load() is found


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("rest_url", "http://rest_service:8000/", "http://rest_service:8000"),
        ("rest_url", "https://[::1]:8000/base", "https://[::1]:8000/base"),
        ("rest_max_bytes", "64MiB", 64 << 20),
        ("rest_max_bytes", "1000", 1000),
        ("shrink_limit", "1", 1.0),
        ("misfire_grace", "0", 0.0),
        ("chat_id", "100", 100),
        ("chat_id", "-1001234567890", -1001234567890),
        ("chat_id", "@channel", "@channel"),
        ("chat_id", "007", "007"),
        ("chat_id", "9" * 30, "9" * 30),
        ("notify_transport", "Stream", "stream"),
        ("log_level", "debug", "DEBUG"),
        ("log_format", "JSON", "json"),
        ("timezone", "America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("rest_mapping", '{"jobs": "a.b", "id": "uuid"}', {"jobs": "a.b", "id": "uuid"}),
    ],
)
def test_a_value_is_converted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: object
) -> None:
    given_values(monkeypatch, **{name: value})
    found = getattr(load(), name)
    assert found == expected
    assert isinstance(found, type(expected))


WRONG = [
    ("redis_url", "http://x", "redis://[user:password@]host:6379/0, got 'http://x': the scheme is"),
    ("rest_url", "rest_service:8000", "got 'rest_service:8000': it has to start with http://"),
    ("rest_url", "http://", "it has to start with http:// or https:// and a host"),
    ("rest_url", "http://h:99999", "its host or port is unusable"),
    ("rest_url", "http://h/?a=1", "it must not have a query"),
    ("rest_url", "http://u:p@h", "got 'http://u:***@h': it must not have a query or a user"),
    ("rest_jobs_path", "api/jobs", "expected a path that starts with /, got 'api/jobs'"),
    ("rest_jobs_path", "/api /jobs", "it contains a space"),
    (
        "rest_report_path",
        "/api/jobs/",
        "got '/api/jobs/': {id} has to mark the place of the job's id",
    ),
    ("rest_report_path", "api/{id}", "expected a path with {id} in it, such as /api/cronjobs/{id}"),
    ("rest_token", "grün s3cret", "expected a token of visible ASCII characters, got ***"),
    ("telegram_token", "1:s 3cret", "expected a token of visible ASCII characters, got ***"),
    ("heartbeat_url", "https://me:s3cret@ping.io/tok3n", "an http or https URL, got ***: it has"),
    ("heartbeat_url", "hc-ping.com/tok3n", "expected an http or https URL, got ***: it has"),
    ("heartbeat_url", "https://ping.io/t ken", "got ***: it contains a space"),
    ("heartbeat_interval", "0", "expected a number of seconds from 1 to 86400, got '0'"),
    ("digest", "100", "got '100': it has to name a chat and an hour from 0 to 23"),
    ("digest", "100,24", "a chat and an hour such as 100,8, got '100,24'"),
    ("digest", ",8", "it has to name a chat"),
    ("telegram_url", "api.telegram.org", "it has to start with http:// or https:// and a host"),
    ("notify_transport", "stack", "expected list or stream, got 'stack'"),
    ("rest_timeout", "0", "expected a number of seconds from 0.1 to 600, got '0'"),
    ("rest_timeout", "nan", "got 'nan'"),
    ("rest_deadline", "inf", "expected a number of seconds from 1 to 3600, got 'inf'"),
    ("rest_max_bytes", "many", "expected a number of bytes, or a size such as 256MiB, got 'many'"),
    ("rest_max_bytes", "-1", "got '-1'"),
    ("sync_interval", "soon", "expected a number of seconds from 1 to 86400, got 'soon'"),
    ("shrink_limit", "50", "expected a share from 0 to 1, got '50'"),
    ("notify_queue", "redbeat:x", "names that start with redbeat:, cron_tasks:"),
    ("notify_queue", "cron_tasks:jobs", "are reserved"),
    ("notify_queue", "two words", "it contains a space"),
    (
        "http_allow",
        "a, http://b",
        "expected hosts, networks or *, separated by commas, got 'a, htt",
    ),
    ("http_allow", "10.0.0.1/8", "'10.0.0.1/8' has host bits set; did you mean 10.0.0.0/8?"),
    ("tasks_allow", "a.b c", "'a.b c' contains a space or an unprintable character"),
    ("chat_id", "x" * 201, "expected a number or a name of 1 to 200 characters"),
    ("timezone", "Europe/Berln", "unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?"),
    ("timezone", "europe/berlin", "did you mean 'Europe/Berlin'?"),
    ("timezone", "../../etc/passwd", "unknown time zone"),
    ("timezone", "Europe", "unknown time zone"),
    ("log_format", "xml", "expected json, console or ecs, got 'xml'"),
    ("log_level", "loud", "expected DEBUG, INFO, WARNING, ERROR or CRITICAL, got 'loud'"),
    ("secrets_dir", "/nowhere", "expected a folder, got"),
    ("history_runs", "0", "expected a number from 1 to 10000, got '0'"),
    ("history_runs", "1.5", "got '1.5'"),
    ("history_days", "0", "expected a number above 0, at most 3660, got '0'"),
    ("misfire_grace", "-1", "expected a number of seconds from 0 to 86400, got '-1'"),
    ("rest_mapping", "{", "not JSON"),
    ("rest_mapping", "nowhere.json", "the file nowhere.json: No such file or directory"),
    ("rest_mapping", "{'id': 'x'}", "not JSON"),
    ("rest_mapping", '{"id": 5}', 'expected JSON such as {"id": "uuid"}, or a file'),
    ("rest_mapping", '{"crn_expression": "a"}', "did you mean 'cron_expression'?"),
    ("rest_mapping", '{"id": "a..b"}', "'a..b' for 'id' is not a JMESPath expression"),
    (
        "rest_mapping",
        """{"tags": "spilt(tags, ' ')"}""",
        "for 'tags' is not a JMESPath expression: there is no function spilt(); "
        "did you mean 'split'?",
    ),
    ("rest_mapping", '{"tags": "split(tags)"}', "split() takes 2 arguments, got 1"),
    ("rest_mapping", '{"id": "a[?trim(b, c) == c].d | [0]"}', "trim() takes 1 argument, got 2"),
    ("rest_mapping", '{"id": "{a: b[].[uper(c)]}"}', "there is no function uper()"),
    ("rest_mapping", '{"jobs": "map(&nix(a), b)"}', "there is no function nix()"),
    ("rest_mapping", '{"next": "not_null()"}', "not_null() takes at least 1 argument, got 0"),
]


@pytest.mark.parametrize(("name", "value", "said"), WRONG)
def test_an_error_names_the_variable_the_expected_value_and_the_given_one(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    text = complaint(monkeypatch, **{name: value})
    assert text.startswith(f"CRON_TASKS_{name.upper()} (environment): expected ")
    assert said in text
    assert "\n" not in text


def test_all_errors_are_reported_together_with_origins_and_without_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "CRON_TASKS_REST_TOKEN").write_text("s3cret token")
    Path(".env").write_text("CRON_TASKS_TIMEZONE=Mars\n")
    lines = complaint(
        monkeypatch,
        secrets_dir=str(tmp_path),
        redis_url="redis://:s3cret/x@host",
        rest_url="http://u:s3cret@h/?q",
        log_level="x\ny",
    ).splitlines()
    assert [line.partition(": expected ")[0] for line in lines] == [
        "CRON_TASKS_REDIS_URL (environment)",
        "CRON_TASKS_REST_URL (environment)",
        f"CRON_TASKS_REST_TOKEN (secret file in {tmp_path})",
        "CRON_TASKS_TIMEZONE (.env)",
        "CRON_TASKS_LOG_LEVEL (environment)",
    ]
    assert "s3cret" not in "".join(lines)


@pytest.mark.parametrize("file", [".env", "secrets/CRON_TASKS_REST_TOKEN"])
def test_a_binary_file_is_reported(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    Path("secrets").mkdir()
    Path(file).write_bytes(b"CRON_TASKS_CHAT_ID=\xff\xfe")
    assert "is not UTF-8 text" in complaint(monkeypatch, secrets_dir="secrets")


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from(sorted(set(Settings.model_fields) - {"secrets_dir"})),
    value=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)
    | st.from_regex(r"\A(redis|rediss|sentinel|http)://[!-~]*\Z"),
)
@example(name="alive_file", value="\x1f/0")
def test_any_value_is_accepted_or_reported_in_one_line(name: str, value: str) -> None:
    load.cache_clear()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(PREFIX + name.upper(), value)
        try:
            said = load().rows()[0].variable
        except SettingsError as error:
            said = str(error)
    assert said.startswith(PREFIX)
    assert said == printable(said, 10_000)


def test_unknown_variables_are_reported_with_the_nearest_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path(".env").write_text("CRON_TASKS_TIMEZON=UTC\ntimezone=Mars\n")
    (tmp_path / "cron_tasks_redis_ulr").write_text("x")
    given_values(monkeypatch, rest_tokn="x", something="y", secrets_dir=str(tmp_path))
    assert load().warnings == (
        "CRON_TASKS_REST_TOKN (environment) is not a setting and is ignored; "
        "did you mean CRON_TASKS_REST_TOKEN?",
        "CRON_TASKS_SOMETHING (environment) is not a setting and is ignored",
        "CRON_TASKS_TIMEZON (.env) is not a setting and is ignored; "
        "did you mean CRON_TASKS_TIMEZONE?",
        f"CRON_TASKS_REDIS_ULR (secret file in {tmp_path}) is not a setting and is ignored; "
        "did you mean CRON_TASKS_REDIS_URL?",
    )


def test_permissions_of_jobs_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (load().http_allow, load().tasks_allow) == ((), ())
    load.cache_clear()
    given_values(monkeypatch, http_allow=" API.intern,10.0.0.0/8 ,,::1", tasks_allow="a.*, b")
    assert load().http_allow == ("api.intern", "10.0.0.0/8", "::1/128")
    assert load().tasks_allow == ("a.*", "b")
    shown = {row.variable: row.value for row in load().rows()}
    assert shown["CRON_TASKS_HTTP_ALLOW"] == "api.intern, 10.0.0.0/8, ::1/128"


def test_a_mapping_may_be_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mapping.json").write_text('{"id": "uuid"}')
    given_values(monkeypatch, rest_mapping="mapping.json")
    assert load().rest_mapping == {"id": "uuid"}


@pytest.mark.parametrize("field", MAPPABLE[2:])
def test_a_mapping_may_map_every_field_of_a_job(field: str) -> None:
    row = {"id": 1, "name": "x", "every": 60, field: "?"}
    outcome = validate_row(row, timezone="UTC")
    assert not (isinstance(outcome, Job) and outcome.unknown_fields), field
    assert set(TIMING) <= set(MAPPABLE)


def test_a_missing_setting_is_described(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SettingsError) as caught:
        load().require("rest_url")
    assert str(caught.value) == (
        "CRON_TASKS_REST_URL is not set: "
        "give the base URL of the REST service, e.g. http://rest_service:8000"
    )
    assert Settings(rest_url="http://h").require("rest_url") == "http://h"


def test_no_view_of_the_settings_contains_a_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "CRON_TASKS_REST_TOKEN").write_text("tok://s3cret")
    (tmp_path / "CRON_TASKS_TELEGRAM_TOKEN").write_text("1:s3cret")
    given_values(
        monkeypatch,
        secrets_dir=str(tmp_path),
        redis_url="redis://me:s3cret%40@host/1",
        chat_id="5",
    )
    found = load()
    views = [repr(found), str(found), str(found.rows()), found.masked_redis_url]
    assert "s3cret" not in "".join(views)
    assert found.masked_redis_url == "redis://me:***@host:6379/1"
    shown = {row.variable: row for row in found.rows()}
    assert shown["CRON_TASKS_REDIS_URL"].value == "redis://me:***@host:6379/1"
    assert shown["CRON_TASKS_REST_TOKEN"].value == "***"
    assert shown["CRON_TASKS_CHAT_ID"][1:3] == ("5", "environment")
    assert shown["CRON_TASKS_REST_MAX_BYTES"][1:3] == ("256MiB", "default")
    assert shown["CRON_TASKS_TIMEZONE"].meaning == "Zone of jobs that name none"
    assert found.secrets() == {"tok://s3cret", "1:s3cret", "s3cret%40", "s3cret@"}


def test_the_table_of_the_documentation_is_up_to_date() -> None:
    table = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert render_markdown() in table, "put in what `python -m cron_tasks.settings.table` prints"


def test_reading_settings_imports_nothing_heavy() -> None:
    code = (
        "import sys, cron_tasks.settings as s; s.load();"
        "heavy = {'celery', 'kombu', 'redis', 'requests', 'structlog', 'rich', 'jmespath'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", "redis://h:6379/0"),
        ("redis://h:7/", "redis://h:7/0"),
        ("redis://u:p%2Fw@[::1]/12", "redis://u:p%2Fw@[::1]:6379/12"),
        ("redis://:pw@h", "redis://:pw@h:6379/0"),
        ("rediss://h/1", "rediss://h:6379/1?ssl_cert_reqs=required"),
        (
            "rediss://h?ssl_cert_reqs=none&ssl_ca_certs=/ca.pem",
            "rediss://h:6379/0?ssl_cert_reqs=none&ssl_ca_certs=/ca.pem",
        ),
        ("unix:///run/r.sock", "unix:///run/r.sock?db=0"),
        ("unix://u:p%2Fw@/run/a%20b.sock?db=7", "unix://u:p%2Fw@/run/a%20b.sock?db=7"),
        # Celery's spelling.
        ("redis+socket:///run/r.sock", "unix:///run/r.sock?db=0"),
        ("redis+socket://:p%2Fw@/run/r.sock?virtual_host=7", "unix://:p%2Fw@/run/r.sock?db=7"),
        ("sentinel://h?master_name=m", "sentinel://h:26379/0?master_name=m"),
        (
            "sentinel://u:p@h;sentinel://h2:7/3?master_name=m",
            "sentinel://u:p@h:26379/3;sentinel://u:p@h2:7/3?master_name=m",
        ),
    ],
)
def test_every_library_reads_the_same_server_from_a_redis_url(url: str, expected: str) -> None:
    assert str(parse_redis_url(url)) == expected
    assert str(parse_redis_url(expected)) == expected
    first = urlsplit(expected.partition(";")[0])
    broker = kombu.Connection(parse_redis_url(url).for_kombu)
    if first.scheme != "unix":
        assert (broker.hostname, broker.port) == (first.hostname, first.port)
        assert int(broker.virtual_host) == int(first.path.strip("/"))
    if first.scheme in ("redis", "rediss"):
        direct = redis.Redis.from_url(expected).connection_pool.connection_kwargs
        assert direct["db"] == int(broker.virtual_host)
        assert direct.get("password") == broker.password
        assert direct.get("username") == broker.userid
    if first.scheme == "rediss":
        wanted = 0 if "none" in expected else 2  # ssl.CERT_NONE, ssl.CERT_REQUIRED
        assert broker.ssl["ssl_cert_reqs"] == wanted


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:6379", "the scheme is one of redis, rediss, sentinel, unix"),
        ("unix://run/r.sock", "a socket has the form unix:///path/to.sock"),
        ("redis+socket://run/r.sock", "a socket has the form redis+socket:///path/to.sock"),
        ("redis+socket:///r.sock?virtual_host=x", "the database is a number"),
        ("redis+socket:///r.sock?db=1", "the options of redis+socket:// are virtual_host"),
        ("unix://:cret@", "a socket has the form unix:///path/to.sock"),
        ("unix:///r.sock?db=x", "the database is a number"),
        ("unix:///r.sock?virtual_host=1", "the options of unix:// are db"),
        ("redis://", "it has no host"),
        ("redis://h/zero", "the database is a number"),
        ("redis://h/0?socket_timeout=3", "the options of redis:// are none"),
        ("redis://u:1?cret@h", "the options of redis:// are none"),
        ("redis://:s3/cret@h", "write / as %2F"),
        ("redis://:s3cret@h:0", "its host or port is unusable"),
        ("redis://:s3#cret@h", "its host or port is unusable"),
        ("redis://:s3;cret@h", "; as %3B"),
        ("redis://h1;redis://h2", "only sentinel:// may list several nodes"),
        ("rediss://h?ssl_cert_reqs=maybe", "required, optional or none"),
        ("sentinel://h", "?master_name= is missing: it names the master"),
        ("sentinel://h?master_name=m;sentinel://h2", "the options follow the last node"),
        ("sentinel://h/1;sentinel://h2/2?master_name=m", "all nodes have the same database"),
        ("sentinel://:cret@h;sentinel://:x@h2?master_name=m", "the same user and password"),
        ("sentinel://h;redis://h2", "all nodes have the same scheme"),
    ],
)
def test_the_error_for_a_redis_url_explains_it_without_the_password(
    monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    text = complaint(monkeypatch, redis_url=url)
    assert said in text
    assert "cret" not in text


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://u:p@h/0", "redis://u:***@h/0"),
        ("redis://u:p@q/r;s@h/0", "redis://u:***@h/0"),
        ("sentinel://u:p@h;sentinel://u:p@h2", "sentinel://u:***@h;sentinel://u:***@h2"),
        ("redis://u@h/0", "redis://u@h/0"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://h:6379", "redis://h:6379"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://:p", "redis://:***"),
    ],
)
def test_passwords_in_urls_are_masked(url: str, expected: str) -> None:
    assert mask_passwords(url) == expected


def test_the_heartbeat_url_and_its_tokens_are_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://ping.io/a/0123-4567-89ab?key=abcdefghijkl&x=1"
    given_values(monkeypatch, heartbeat_url=url, digest=" -100 , 08 ")
    found = load()
    views = repr(found) + str(found) + str(found.rows())
    assert "0123-4567-89ab" not in views
    assert "abcdefghijkl" not in views
    assert found.secrets() == {url, "0123-4567-89ab", "abcdefghijkl"}
    assert (found.digest.chat_id, found.digest.hour) == (-100, 8)
    shown = {row.variable: row.value for row in found.rows()}
    assert shown["CRON_TASKS_HEARTBEAT_URL"] == "***"
    assert shown["CRON_TASKS_DIGEST"] == "-100,8"
