"""Logs as ECS documents: the conversion of a line, the table of events, and a real shipper."""

import ast
import json
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from helpers import NEVER_DUE, PATIENCE, ended_runs, wait_until
from live import Live
from plug_ins import install
from programs import find_libraries, find_program
from rest_server import reply
from test_logs import EVERYBODY, HOSTILE, SECRET, SECRETS, logged, parsed
from test_policies import run

from cron_tasks.telemetry import events

ROOT = Path(__file__).parents[1]
RUN = "7@2026-11-23T09:00:00Z"
TEMPLATE = events.make_index_template()["template"]["mappings"]
#: Python types that Elasticsearch takes for a type of its own, in strict terms.
TYPES: dict[str, tuple[type, ...]] = {
    "long": (int,),
    "double": (int, float),
    "date": (str,),
    "text": (str, list),
    "wildcard": (str,),
    "keyword": (str, int, list),
}


def trace_of(run_id: str) -> str:
    return sha256(run_id.encode()).hexdigest()[:32]


TRACE = trace_of(RUN)


def documents(code: str) -> list[dict[str, Any]]:
    found = parsed(logged(code, "ecs"))
    for document in found:
        check(document)
    return found


def check(document: dict[str, Any]) -> None:
    """Check that a document is ECS: fields that are not in the template are under `cron_tasks`."""
    needed = {"@timestamp", "log", "message", "ecs", "event", "service", "host", "process"}
    assert needed <= document.keys() <= TEMPLATE["properties"].keys()
    _check_fields(document, TEMPLATE["properties"])


def _check_fields(values: dict[str, Any], properties: dict[str, Any]) -> None:
    for name, value in values.items():
        if name not in properties:
            assert properties is TEMPLATE["properties"]["cron_tasks"]["properties"], name
        elif "properties" in properties[name]:
            _check_fields(value, properties[name]["properties"])
        else:
            assert isinstance(value, TYPES[properties[name]["type"]]), (name, value)


def test_a_line_of_any_library_becomes_a_document_with_the_trace_of_its_run() -> None:
    found = documents(EVERYBODY)
    assert len(found) == 7
    for document in found[:6]:
        assert document["trace"] == {"id": TRACE}
        assert document["cron_tasks"]["run_id"] == RUN
    ours, guest = found[:2]
    assert ours["log"] == {"level": "info", "logger": "cron_tasks.probe"}
    assert ours["event"] == {
        "dataset": "cron_tasks.log",
        "action": "run.finished",
        "outcome": "success",
        "duration": 1_500_000_000,
    }
    assert ours["cron_tasks"]["tags"] == ["a", "b"]
    assert (guest["message"], guest["log"]["logger"]) == ("task says hello", "guest.tasks")
    assert "action" not in guest["event"]
    assert ours["service"]["name"] == "cron_tasks"
    assert "trace" not in found[6]


def test_the_json_format_has_the_same_trace() -> None:
    lines = parsed(logged(EVERYBODY))
    assert [line.get("trace_id") for line in lines] == [TRACE] * 6 + [None]


def test_errors_have_type_message_and_stack_trace() -> None:
    raised, said, failed = documents(
        "try: raise ValueError('first\\nsecond')\n"
        "except ValueError: log.exception('run.raised')\n"
        "logging.getLogger('x').error('bad', exc_info=KeyError('k'))\n"
        "log.error('run.finished', status='failed', error='HTTP 503')\n"
    )
    assert raised["error"]["type"] == "ValueError"
    assert raised["error"]["message"] == "first\nsecond"
    assert raised["error"]["stack_trace"].startswith("Traceback (most recent call last):\n")
    assert said["error"]["type"] == "KeyError"
    assert failed["error"] == {"message": "HTTP 503"}
    assert failed["event"]["outcome"] == "failure"


def test_values_of_any_kind_stay_under_our_name() -> None:
    code = (
        "log.info('x.y', message='m', log='l', event_id=1, host={'a': 1}, when={1: HOSTILE}, "
        "pid=5, trace={'id': 'x'}, run_id=7, duration='long', service=None)\n"
        "log.info(HOSTILE, **{'@timestamp': 'x', 'a.b': 1})\n"
        "logging.getLogger(HOSTILE).warning('%s', HOSTILE)\n"
    )
    named, hostile, foreign = documents(code.replace("run_id=7, duration='long', ", ""))
    own = named["cron_tasks"]
    assert (own["message"], own["log"], own["host"]) == ("m", "l", {"a": 1})
    assert hostile["cron_tasks"] == {"@timestamp": "x", "a.b": 1}
    assert foreign["message"] == HOSTILE.replace("\ud800", "\\ud800")


def test_what_elasticsearch_or_a_shipper_would_refuse_is_made_to_fit() -> None:
    """Objects under our names, halves of surrogate pairs, texts that raise, and very long ones."""
    mixed, odd, raised, long = documents(
        "log.info('x', detail={'a': 1}, place=[['b']], foreign={'a': 1}, duration=1e300)\n"
        "class Odd(Exception):\n"
        "    def __str__(self): raise ValueError('no')\n"
        "log.info('y', place=Odd(), reason='\\udcff')\n"
        "try: raise Odd()\n"
        "except Odd: log.exception('run.raised')\n"
        "log.error('z', error='a' + 'é' * 1_000_000 + 'b', ids=['c'] * 100_000)\n"
    )
    own = mixed["cron_tasks"]
    assert (own["detail"], own["place"], own["foreign"]) == ("{'a': 1}", "[['b']]", {"a": 1})
    assert odd["cron_tasks"]["place"] == "a Odd whose text cannot be shown: ValueError"
    assert odd["cron_tasks"]["reason"] == "\\udcff"
    assert (raised["message"], raised["error"]["type"]) == ("run.raised", "Odd")
    text = long["error"]["message"]
    assert (len(text), text[0], text[-1]) == (16_000, "a", "b")
    assert len(json.dumps(long)) < 1_000_000


def test_no_document_contains_a_secret() -> None:
    text = "\n".join(logged(SECRETS, "ecs"))
    for secret in (SECRET, 'w"d', "other-password", "third"):
        assert secret not in text
    assert text.count("refused ***") >= 3


# The table of events


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """Find the calls that log events, with their values. `**` is not followed."""
    for path in sorted((ROOT / "cron_tasks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            match node.func:
                case ast.Attribute(
                    value=ast.Name("log"),
                    attr="debug" | "info" | "warning" | "error" | "exception",
                ) | ast.Name("write"):
                    values = {each.arg for each in node.keywords if each.arg} - {"exc_info"}
                    for name in _names(node.args[0]):
                        yield f"{path.name}:{node.lineno}", name, values
                case ast.Attribute(attr="_log_trouble"):
                    for name in _names(node.args[0]):
                        yield f"{path.name}:{node.lineno}", name, set()


def _names(node: ast.expr) -> list[str]:
    """Return the events that an expression may be. A name within a text may be anything."""
    match node:
        case ast.Constant(value=str(name)):
            return [name] if name else []
        case ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]):
            return [each.name for each in events.EVENTS if each.name.startswith(start)]
        case ast.Name("trouble"):  # bot/loop.py, whose calls name it
            return []
    raise AssertionError(f"the event of a log line is not to be read: {ast.unparse(node)}")


def test_every_event_of_the_code_is_in_the_table_and_no_other() -> None:
    known = {each.name: each for each in events.EVENTS}
    assert len(known) == len(events.EVENTS)
    seen = set()
    for place, name, values in calls():
        assert name in known, f"{place} logs {name}: add it to telemetry/events.py"
        dynamic = name.startswith(("beat.", "sync.")) and place.startswith(("scheduler", "outcome"))
        if not dynamic:
            assert values <= set(known[name].values), (place, name)
        seen.add(name)
    assert known.keys() == seen
    assert {value for each in events.EVENTS for value in each.values} == events.VALUES.keys()


def test_the_docs_have_the_table_of_events() -> None:
    assert events.render_markdown() in (ROOT / "docs" / "logs.md").read_text("utf-8")


def test_the_index_template_is_that_of_the_code() -> None:
    path = ROOT / "monitoring" / "elasticsearch" / "index-template.json"
    assert json.loads(path.read_text()) == events.make_index_template()


# Shipping


class Sink(ThreadingHTTPServer):
    """Accepts `_bulk` requests like Elasticsearch, and checks each document."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.indices: set[str] = set()
        self.faults: list[str] = []
        super().__init__(("127.0.0.1", 0), _Bulk)

    def take(self, body: str) -> None:
        lines = body.splitlines()
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            self.indices.add(json.loads(action)["index"]["_index"])
            parsed_document = json.loads(document)
            try:
                check(parsed_document)
            except AssertionError as fault:
                self.faults.append(f"{fault}: {document}")
            self.documents.append(parsed_document)


class _Bulk(BaseHTTPRequestHandler):
    server: Sink

    def do_GET(self) -> None:
        self._answer({"version": {"number": "8.11.0"}})

    def do_HEAD(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.take(body)
        items = [{"index": {"status": 201}} for _ in body.splitlines()[::2]]
        self._answer({"took": 1, "errors": False, "items": items})

    def _answer(self, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def shipping(folder: Path, log: Path) -> Iterator[Sink]:
    """Ship a log with rsyslog, with the configuration that we document, into a sink."""
    daemon, sink = find_program("rsyslogd"), Sink()
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    text = (ROOT / "monitoring" / "rsyslog" / "cron-tasks.conf").read_text()
    text = text.replace("/var/log/cron-tasks.log", str(log))
    text = text.replace("/var/log/cron-tasks-rejected.log", str(folder / "rejected.log"))
    text = text.replace('serverport="9200"', f'serverport="{sink.server_address[1]}"')
    config = folder / "rsyslog.conf"
    config.write_text(f'global(workDirectory="{folder}")\n{text}')
    command, env = [daemon, "-n", "-f", str(config), "-i", str(folder / "pid")], dict(os.environ)
    if libraries := find_libraries("libestr.so.0"):
        env["LD_LIBRARY_PATH"] = libraries
        command += ["-M", f"{libraries}/rsyslog"]
    with (folder / "rsyslog.out").open("wb") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out)
    try:
        yield sink
    finally:
        process.terminate()
        process.wait(PATIENCE)
        sink.shutdown()
        sink.server_close()


def test_a_real_shipper_takes_every_line_of_a_real_system(live: Live, tmp_path: Path) -> None:
    log = tmp_path / "all.log"
    log.touch()
    live.celery.env["CRON_TASKS_LOG_FORMAT"] = "ecs"
    live.service.answers["bad"] = reply(503)
    # All processes append to one file, as a container's log driver does.
    live.celery.folder = tmp_path
    live.start({"id": "good", **NEVER_DUE}, {"id": "bad", **NEVER_DUE}, slots=1)
    # Ok runs that end together share a line, so they come one after the other.
    for number, job_id in enumerate(("good", "bad", "good", "bad"), 1):
        run(live.redis, job_id)
        wait_until(lambda n=number: len(ended_runs(live.redis)) == n, f"run {number} to end")
    assert len(live.service.calls) == 4
    live.settles()

    def lines() -> list[str]:
        outputs = [process.output for process in live.celery.processes]
        return [line for output in outputs for line in output.splitlines() if line]

    # A worker logs the end of a run after the ledger has it.
    wait_until(lambda: sum('"run.finished"' in line for line in lines()) == 4, "a line of each end")
    written = lines()
    written += logged("log.error('run.raised', error='é' * 16_000)\n", "ecs")
    log.write_text("".join(f"{line}\n" for line in written))
    with shipping(tmp_path, log) as sink:
        wait_until(lambda: len(sink.documents) >= len(written), "every document")
    assert sink.faults == []
    assert sink.documents == [json.loads(line) for line in written]
    assert {index.partition("-")[0] for index in sink.indices} == {"cron_tasks"}
    for call in live.service.calls:
        trace = trace_of(call.run_id)
        (end,) = [each for each in sink.documents if _is_end_of(each, trace)]
        assert end["cron_tasks"]["run_id"] == call.run_id
        assert end["event"]["outcome"] == ("success" if call.job_id == "good" else "failure")
        assert end["event"]["duration"] > 0


def _is_end_of(document: dict[str, Any], trace: str) -> bool:
    is_end = document["event"].get("action") == "run.finished"
    return is_end and document.get("trace", {}).get("id") == trace


TALKING = """
import logging
from cron_tasks.plugins import CustomAction

class Talk(CustomAction):
    def perform(self, run, settings):
        logging.getLogger("guest").warning("from the action")
"""


def test_what_a_library_logs_during_an_action_carries_the_run(live: Live, tmp_path: Path) -> None:
    """This includes runs that share a message."""
    install(tmp_path, "talking", TALKING, "talk = talking:Talk")
    live.celery.env["PYTHONPATH"] = str(tmp_path)
    ids = [f"job {number}" for number in range(12)]
    action = {"type": "talk"}
    live.rest.jobs = [{"id": each, "name": each, "every": 1, "action": action} for each in ids]
    worker = live.celery.worker(2)
    live.celery.beat()

    def said() -> list[dict[str, Any]]:
        lines = map(json.loads, worker.output.splitlines())
        return [line for line in lines if line["event"] == "from the action"]

    def all_have_spoken_twice() -> bool:
        times = Counter(line["job_id"] for line in said())
        return all(times[each] >= 2 for each in ids)

    wait_until(all_have_spoken_twice, "what the actions say")
    assert {line["job_id"] for line in said()} == set(ids)
    assert all(line["trace_id"] == trace_of(line["run_id"]) for line in said())
