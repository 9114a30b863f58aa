"""`ai-tracing traces --url`: what a gateway's console API tells is what its file holds."""

import contextlib
import http.server
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import uuid

import pytest
from gateway import BINARY, environment, free_port, run, until
from upstream import Answer

CHAT = "/v1/chat/completions"
CALLS = 60
TOKEN = "a token of sixteen"
# As a user may type it, with characters that a URL has other uses for.
USERS = ["ann", "b ob", "josé&co=1#x"]


def completion(text: str, model: str) -> bytes:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    return json.dumps({"id": "c", "object": "chat.completion", "model": model, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}).encode()


@pytest.fixture(scope="module")
def filled(gateway, upstream):
    """The gateway, after calls of several users, models, sessions and ends."""
    for n in range(CALLS):
        case, model = f"case-{n}", ["gpt-4o", "gpt-4o-mini", "o3-mini"][n % 3]
        failed = n % 10 == 7
        body = b'{"error": {"message": "slow down", "type": "rate_limit"}}' if failed else completion(f"answer{n} common", model)
        upstream.add(case, Answer(status=429 if failed else 200, body=body))
        headers = [
            ("content-type", "application/json"), ("x-case", case), ("x-message-id", case),
            ("x-user-id", USERS[n % 3].encode()), ("x-session-id", f"s/{n % 4}"), ("x-chat-id", f"c {n % 5}"),
            ("x-organization-id", "acme"), ("x-project-id", f"p{n % 2}"),
            # Some calls are of one trace.
            *([("traceparent", f"00-{'ab' * 16}-{n:016x}-01")] if n in range(1, 40, 3) else []),
        ]
        request = {"model": model, "messages": [{"role": "user", "content": f"question{n}"}]}
        assert gateway.request("POST", CHAT, json.dumps(request).encode(), headers).status == (429 if failed else 200)
    gateway.traces(CALLS)
    return gateway


def both(gateway, *args: str) -> list[subprocess.CompletedProcess]:
    """What the command says of the file, and of the API."""
    return [gateway.cli("traces", *args), run("traces", *args, "--url", f"http://{gateway.console}")]


FILTERS = [
    [], ["-n", "7"], ["-n", "0"], ["-n", "1000"], ["--user", USERS[2]], ["--user", "nobody"], ["--session", "s/1"], ["--chat", "c 3"], ["--organization", "acme"],
    ["--project", "p1"], ["--environment", "production"], ["--model", "gpt-4*"], ["--model", "none"], ["--provider", "openai"], ["--service", "upstream"],
    ["--route", CHAT], ["--status", "429"], ["--status", "4xx"], ["--status", "200-299"], ["--errors"], ["--since", "1h"], ["--until", "1h"],
    ["--since", "2020-01-01T00:00:00Z", "--until", "1ms"], ["--slower-than", "1ms"], ["--slower-than", "1h"], ["--first-token-slower-than", "0.5ms"], ["--first-token-slower-than", "1h"], ["--search", "common"], ["--search", '"answer5 common"'],
    ["--search", "answer5*", "--user", USERS[2]], ["--search", "!?"], ["--trace", "ab" * 16], ["--errors", "--project", "p1", "--since", "1d"], ["--delivery", "failed"],
]


@pytest.mark.parametrize("filters", FILTERS, ids=" ".join)
def test_lists_are_the_same(filled, filters):
    for style in (["--format", "jsonl"], []):
        file, api = both(filled, *filters, *style)
        assert (file.returncode, file.stderr) == (0, "")
        assert (api.returncode, api.stdout, api.stderr) == (0, file.stdout, "")


def test_each_filter_that_there_is_was_compared():
    named = {option for filters in FILTERS for option in filters if option.startswith("--")}
    told = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)(?: <|$)", run("traces", "--help").stdout, re.MULTILINE))
    assert named == told - {"--limit", "--follow", "--format", "--data-dir", "--url", "--console-token", "--help"}


def test_one_call_and_one_trace_are_the_same(filled):
    records = filled.records()
    ids = [records[0]["id"], records[0]["id"].upper(), records[-1]["trace_id"], records[-1]["trace_id"][:9], "ab" * 16, "abab"]
    for style in ([], ["--format", "json"], ["--format", "http"], ["--max-text", "5"]):
        for id in ids:
            file, api = both(filled, "show", id, *style)
            assert (file.returncode, api.returncode, api.stdout, api.stderr) == (0, 0, file.stdout, "")
    assert len(filled.cli("traces", "show", "ab" * 16, "--format", "json").stdout.split('"id": "0')) > 13
    for id in ["0", "nosuch", "a/../b?c#d", records[0]["id"] + "/record", ""]:
        file, api = both(filled, "show", id)
        assert (file.returncode, api.returncode, api.stderr) == (1, 1, file.stderr)


class Follower:
    """`traces --follow --format jsonl`, and the ids that it has printed."""

    def __init__(self, *args: str, **env: str):
        self.process = subprocess.Popen([BINARY, "traces", "--follow", "--format", "jsonl", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**env))
        self.ids: list[str] = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.ids.append(json.loads(line)["id"])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.reader.join(30)
        said = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return said


def send(gateway, upstream, user: str) -> None:
    upstream.add("followed", Answer(body=completion("followed", "gpt-4o")))
    headers = [("content-type", "application/json"), ("x-case", "followed"), ("x-user-id", user)]
    assert gateway.request("POST", CHAT, b'{"model": "gpt-4o", "messages": []}', headers).status == 200


def test_following_is_the_same(filled, upstream):
    url = f"http://{filled.console}"
    followers = [Follower("--user", "follow", *args) for args in (["--data-dir", str(filled.data_dir)], ["--url", url])]
    sent = 0

    def one(user: str) -> None:
        nonlocal sent
        send(filled, upstream, user)
        sent += user == "follow"

    try:
        # A call each until both have begun, then some that neither may miss.
        until(lambda: one("follow") or all(follower.ids for follower in followers), what="followers that have begun")
        for user in ["follow", "other", "follow"]:
            one(user)
        last = filled.traces(sent, lambda record: record["context"]["user_id"] == "follow")[-1]["id"]
        until(lambda: all(follower.ids[-1] == last for follower in followers), what=lambda: f"{sent} calls, {[len(follower.ids) for follower in followers]}")
        assert followers[0].ids[-3:] == followers[1].ids[-3:]
    finally:
        said = [follower.stop() for follower in followers]
    assert said == ["", ""]


def test_a_follower_outlives_the_gateway(start, upstream):
    port = free_port()
    first = start("--upstream", upstream.url, console=f"127.0.0.1:{port}")
    follower = Follower("--url", f"http://127.0.0.1:{port}")
    try:
        until(lambda: send(first, upstream, "a") or follower.ids, what="a follower that has begun")
        assert first.stop() == 0
        second = start("--upstream", upstream.url, console=f"127.0.0.1:{port}", data_dir=first.data_dir)
        send(second, upstream, "b")
        records = second.traces(1, lambda record: record["context"]["user_id"] == "b")
        until(lambda: follower.ids[-1] == records[0]["id"], what="the call after the restart")
        assert len(set(follower.ids)) == len(follower.ids), "none twice"
    finally:
        said = follower.stop()
    assert said.splitlines() == [f"ai-tracing: lost http://127.0.0.1:{port}: trying again"]


def test_a_follower_that_is_far_behind_gets_each_call(start, tmp_path):
    """The page would be told to read its list again."""
    gateway = start()
    with contextlib.closing(sqlite3.connect(gateway.data_dir / "traces.db")) as file, file:
        columns = "id, trace_id, started_at, name, provider, operation, stream, end, is_error, has_error, estimated, duration_ms"
        rows = ((str(uuid.UUID(int=n)), f"{n:032x}", n, "/", "openai", "chat", 0, "complete", 0, 0, 0, 1.0) for n in range(1, 6_001))
        file.executemany(f"INSERT INTO calls ({columns}) VALUES ({', '.join('?' * 12)})", rows)
    path = "/api/v1/events?after=0"
    host, port = gateway.console.split(":")
    for more, counted in (("", "event: reset"), ("&all=true", f'"id":"{uuid.UUID(int=6_000)}"')):
        with socket.create_connection((host, int(port)), timeout=60) as sock:
            sock.sendall(f"GET {path}{more} HTTP/1.1\r\nhost: {gateway.console}\r\n\r\n".encode())
            came = b""
            while counted.encode() not in came:
                piece = sock.recv(1 << 16)
                assert piece, came[-500:]
                came += piece
        assert (b"event: reset" in came) == (more == "")


def refused(*args: str, **env: str) -> str:
    """The one line that the command ends with."""
    done = run("traces", *args, env=env)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    return done.stderr.strip().removeprefix("ai-tracing: ")


def test_the_token_opens_and_is_never_shown(start, upstream):
    gateway = start("--upstream", upstream.url, env={"AI_TRACING_CONSOLE_TOKEN": TOKEN})
    url = f"http://{gateway.console}"
    for args in ([], ["--follow"], ["show", "x"]):
        assert refused(*args, "--url", url) == f"{url} asks for its token: set AI_TRACING_CONSOLE_TOKEN"
        wrong = refused(*args, "--url", url, AI_TRACING_CONSOLE_TOKEN="hunter2 hunter2 hunter2")
        assert wrong == f"{url} does not take the token in AI_TRACING_CONSOLE_TOKEN"
    send(gateway, upstream, "a")
    gateway.traces(1)
    for args, env in ((["--url", url + "/"], {"AI_TRACING_CONSOLE_TOKEN": TOKEN}), (["--console-token", TOKEN], {"AI_TRACING_CONSOLE_URL": url})):
        done = run("traces", "--format", "jsonl", *args, env=env)
        assert (done.returncode, done.stdout) == (0, gateway.cli("traces", "--format", "jsonl").stdout)
    # An empty address is none.
    assert gateway.cli("traces", env={"AI_TRACING_CONSOLE_URL": ""}).returncode == 0


def test_what_does_not_answer_is_told_in_one_line(filled):
    port = free_port()
    assert refused("--url", f"http://127.0.0.1:{port}") == (
        f"no answer from http://127.0.0.1:{port}: Connection refused (os error 111) (does the gateway run, and its console listen there?)"
    )
    for wrong in ["127.0.0.1:8002", "ftp://127.0.0.1", "http://", "nonsense"]:
        assert refused("--url", wrong) == "--url: not an address such as http://127.0.0.1:8002"
    told = refused("--url", "http://me:hunter2@127.0.0.1:8002")
    assert "AI_TRACING_CONSOLE_TOKEN" in told and "hunter2" not in told
    assert "ends with its host or a path" in refused("--url", "http://127.0.0.1:8002/?user=a")
    # The status API is somebody else.
    assert "(another address, or an older gateway?)" in refused("--url", f"http://{filled.status}")


def test_an_older_or_foreign_server_is_told(filled):
    answers = {"status": 200, "body": b"<html>\x1b[31mhello</html>"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answers["status"])
            self.send_header("content-length", str(len(answers["body"])))
            self.end_headers()
            self.wfile.write(answers["body"])

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        for status, body in ((200, b"<html>"), (404, b"nothing"), (200, b"{}"), (404, b'{"message": "Not found"}'), (400, b'{"message": "trace: no such parameter"}'), (302, b"")):
            answers.update(status=status, body=body)
            for args in ([], ["show", "x"], ["--follow"]):
                assert "(another address, or an older gateway?)" in refused(*args, "--url", url), (status, body)
        answers.update(status=503, body=b'{"message": "the store\\u001b[31m is away"}')
        told = refused("--url", url)
        assert told.startswith(f"{url}: the store") and "\x1b" not in told
        # What it calls a call is no command to the terminal either.
        call = asked(filled).json()["calls"][0]
        hostile = "\x1b]0;gone\x07\nab"
        answers.update(status=300, body=json.dumps({"calls": [{**call, "id": hostile, "trace_id": hostile}]}).encode())
        assert run("traces", "show", "x", "--url", url).stderr.splitlines()[1:] == [r"  \x1b]0;gone\x07\nab (trace \x1b]0;gone\x07\nab)"]
        answers.update(status=200, body=json.dumps({"call": call, "is_trace": False, "end": hostile}).encode())
        assert r"unknown variant `\x1b]0;gone\x07" in run("traces", "show", "x", "--url", url).stderr
    finally:
        server.shutdown()
        server.server_close()


def asked(gateway):
    return gateway.request("GET", "/api/v1/calls", address=gateway.console)


def test_a_locked_store_is_told_and_calls_pass(start, upstream):
    first = start("--upstream", upstream.url)
    send(first, upstream, "a")
    first.traces(1)
    assert first.stop() == 0
    with contextlib.closing(sqlite3.connect(first.data_dir / "traces.db", isolation_level=None)) as other:
        # Nobody else gets in, not even to read.
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        gateway = start("--upstream", upstream.url, data_dir=first.data_dir)
        send(gateway, upstream, "b")
        reply = asked(gateway)
        assert (reply.status, "locked" in reply.json()["message"]) == (503, True)
        assert "locked" in refused("--url", f"http://{gateway.console}")
        delivery = lambda: gateway.request("GET", "/api/v1/delivery", address=gateway.console)
        until(lambda: b"database is locked" in delivery().body, what="a store that says why it waits")
        other.execute("ROLLBACK")
    until(lambda: asked(gateway).status == 200 and len(asked(gateway).json()["calls"]) == 2, what="the call that waited")


def test_a_damaged_store_is_told_and_calls_pass(start, upstream):
    gateway = start("--upstream", upstream.url)
    send(gateway, upstream, "a")
    gateway.traces(1)
    path = gateway.data_dir / "traces.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (os.fstat(file.fileno()).st_size - 4096))
        # Another process' write makes the gateway drop what it has cached.
        other.execute(f"PRAGMA user_version = {other.execute('PRAGMA user_version').fetchone()[0]}")
    reply = until(lambda: (reply := asked(gateway)).status == 503 and reply, what="a console that says so")
    assert "cannot read" in reply.json()["message"]
    assert "cannot read" in refused("--url", f"http://{gateway.console}")
    assert gateway.request("GET", "/", address=gateway.console).status == 200, "the page is there to say it"
    until(lambda: send(gateway, upstream, "b") or asked(gateway).status == 200, what="a new file")
    assert list(gateway.data_dir.glob("traces.db.corrupt-*")), "the damaged one is kept"
