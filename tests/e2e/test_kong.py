"""The plugin inside nginx, driven as Kong drives it, over real HTTP (see kong_process.py for a real Kong)."""

import gzip
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading

import pytest
from fake_langfuse import FakeLangfuse
from gateway import free_port, until
from kong_process import LIBRARY, REAL, SECRET, Kong, plugin, service
from upstream import ROOT, Answer, Gate, corpus, cut, fixture, fixtures
from wire import Connection, Request, Server, head

CHAT = "/v1/chat/completions"
JSON = [("content-type", "application/json")]
ASK = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}'
STREAM = ("content-type", "text/event-stream")
# What differs between two traces of the same exchange.
VOLATILE = ("call_id", "message_id", "trace_id", "span_id", "_ms", "per_second", "consumer", "service", "route", "server", "start_time")


@pytest.fixture(scope="module")
def langfuse_shared():
    server = FakeLangfuse()
    yield server
    server.close()


@pytest.fixture
def kong(tmp_path_factory):
    """Starts Kongs that are stopped, and checked, when the test ends."""
    started = []

    def start(services, *args, **kwargs) -> Kong:
        made = Kong(tmp_path_factory.mktemp("kong"), services, *args, **kwargs)
        started.append(made)
        return made

    yield start
    finish(started)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, upstream, langfuse_shared):
    """One Kong for the tests that need nothing special: by path, with what each route has."""
    folder = tmp_path_factory.mktemp("kong")
    nowhere = f"http://127.0.0.1:{free_port()}"
    trace = plugin(langfuse_shared.url)
    made = Kong(
        folder,
        [
            service(upstream.url, trace),
            service(upstream.url, trace, path="/unbuffered", name="unbuffered", response_buffering=False),
            service(upstream.url, trace, path="/streamed-upload", name="streamed", request_buffering=False),
            service(nowhere, trace, path="/down", name="down"),
            service(upstream.url, trace, path="/cut", name="cut", plugins=[{"name": "request-termination", "config": {"status_code": 403, "message": "no"}}]),
            service(upstream.url, path="/untraced", name="untraced"),
        ],
        consumers=[{"username": "acme", "keyauth_credentials": [{"key": "key-of-acme"}]}],
        plugins=[{"name": "key-auth", "config": {}}, {"name": "file-log", "config": {"path": str(folder / "calls.jsonl")}}],
    )
    yield made
    finish([made])
    langfuse_shared.check()


def finish(kongs) -> None:
    """Every Kong has to end well: no crash, no error of ours, no secret in its log."""
    try:
        for made in kongs:
            code = made.stop()
            log = made.log()
            assert code == 0, f"exit code {code}\n{log[-4000:]}"
            for bad in ("a defect", "panicked", "exited on signal 11", "exited on signal 6", "not traced, or not to its end", SECRET):
                assert bad not in log, f"{bad!r} in the log\n{log[-4000:]}"
    finally:
        for made in kongs:
            made.kill()


KEY = [("apikey", "key-of-acme")]


def ask(kong, case: str, body: bytes = ASK, path: str = CHAT, headers=(), **kwargs):
    return kong.request("POST", path, body, [*JSON, *KEY, ("x-case", case), ("x-message-id", case), *headers], **kwargs)


def span_of(langfuse, case: str, name: str = "completion"):
    """The observation of a call that was sent with `x-message-id: case`."""
    root = langfuse.trace(CHAT, lambda span: message_id(span) == case)[0] if name != CHAT else None
    return next(span for span in langfuse.siblings(root) if span.name == name)


def message_id(span):
    return span.trace_metadata().get("message_id") or span.metadata().get("message_id")


def trace_of(langfuse, case: str) -> list:
    """All observations of the call that was sent with `x-message-id: case`."""
    found = lambda: [span for span in langfuse.spans() if message_id(span) == case]
    langfuse.wait(lambda: bool(found()), what=f"a trace of {case}")
    return langfuse.siblings(found()[0])


def end_of(langfuse, case: str) -> str:
    return next(m["end"] for span in trace_of(langfuse, case) if "end" in (m := {**span.metadata(), **span.trace_metadata()}))


# --- same bytes, same trace -----------------------------------------------------------------------------------------


def stable(spans) -> dict:
    """A trace without what no two traces share."""
    return {span.name: {k: v for k, v in span.attributes.items() if not any(part in k for part in VOLATILE)} for span in spans}


@pytest.mark.parametrize("how", ["whole", "odd"])
def test_same_bytes_and_the_trace_that_the_gateway_makes(shared, start_shared, upstream, langfuse_shared, how):
    """Every fixture through both hosts: the client's bytes are the upstream's, the traces are the same."""
    gateway = start_shared()
    gateway.serve("both", upstream.url, plugin=plugin(langfuse_shared.url)["config"])
    for case in fixtures():
        upstream.add(case.id, case.answer(how))
        ids = [f"{host}-{case.id}-{how}" for host in ("kong", "gateway")]
        for host, id in zip((shared, gateway), ids):
            headers = [*case.request_headers, *KEY, ("x-case", case.id), ("x-message-id", id), ("x-user-id", "u")]
            reply = host.request(case.method, case.path, case.request_body, headers)
            assert (reply.status, reply.body) == (case.status, case.body), (case.id, host)
        kongs, ours = (stable(trace_of(langfuse_shared, id)) for id in ids)
        assert kongs == ours, case.id
    stats = shared.stats()
    assert stats["engine"]["unreadable"] == 0


def test_recorded_traffic_passes_unchanged(shared, upstream):
    recorded = corpus()
    if not recorded:
        pytest.skip("no corpus")
    for case in recorded:
        upstream.add(case.id, case.answer("odd" if len(case.body) < 20000 else "events"))
        reply = shared.play(case, KEY)
        assert (reply.status, reply.body) == (case.status, case.body), case.id
    assert until(lambda: (s := shared.stats()) and s["engine"]["sink"]["waiting"] == 0 and s)["engine"]["unreadable"] == 0


def test_names_and_context(shared, upstream, langfuse_shared):
    upstream.add("names", fixture("chat_plain").answer())
    assert ask(shared, "names", headers=[("x-user-id", "user-1"), ("x-session-id", "s-1")]).status == 200
    spans = trace_of(langfuse_shared, "names")
    told = json.dumps([span.attributes for span in spans])
    for name in ("llm", "llm-route", "acme", "user-1", "s-1"):
        assert json.dumps(name)[1:-1] in told, (name, told)


def test_other_traffic_and_untraced_routes_are_left_alone(shared, upstream):
    before = shared.stats()["calls"]["begun"]
    upstream.add("page", Answer(headers=[("content-type", "text/html")], body=b"<p>"))
    assert ask(shared, "page", path="/index.html").body == b"<p>"
    assert ask(shared, "page", path="/untraced/v1/chat/completions").body == b"<p>"
    assert shared.request("POST", CHAT, ASK, JSON).status == 401, "Kong's own plugins come first"
    assert shared.stats()["calls"]["begun"] == before
    assert upstream.seen("page")[-1].header("traceparent") is None


def test_the_caller_s_trace_is_joined_and_handed_on(shared, upstream, langfuse_shared):
    upstream.add("joined", fixture("chat_plain").answer())
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    ask(shared, "joined", headers=[("traceparent", f"00-{trace}-00f067aa0ba902b7-01"), ("tracestate", "a=b")])
    sent = upstream.seen("joined")[-1]
    version, same, span, flags = sent.header("traceparent").split("-")
    assert (version, same, flags, sent.header("tracestate")) == ("00", trace, "01", "a=b") and span != "00f067aa0ba902b7"
    assert {found.trace_id for found in trace_of(langfuse_shared, "joined")} == {trace}

    ask(shared, "joined", headers=[("traceparent", "00-nonsense-01"), ("tracestate", "a=b")])
    sent = upstream.seen("joined")[-1]
    assert sent.header("tracestate") is None and sent.header("traceparent").split("-")[1] != trace


# --- bodies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 100, 5000])
def test_request_bodies_of_any_size(shared, upstream, langfuse_shared, count):
    """Those above 8 KiB are in a temporary file when the plugin looks; those above `max_body_size` are cut in the trace."""
    case = f"messages-{count}"
    upstream.add(case, fixture("chat_plain").answer())
    message = b'{"role":"user","content":"%s"}' % (b"a" * 1000)
    body = b'{"model":"gpt-4o-mini","messages":[%s]}' % b",".join([message] * count)
    assert ask(shared, case, body).status == 200
    assert upstream.seen(case)[-1].body_length == len(body)
    prompt = next(span for span in trace_of(langfuse_shared, case) if span.name == "prompt")
    kept = min(count, (4 << 20) // len(message) - 100)
    assert count >= prompt.metadata()["message_count"] >= kept


def test_a_chunked_upload(shared, upstream, langfuse_shared):
    upstream.add("chunked-upload", fixture("chat_plain").answer())
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(ASK), ASK)
    assert ask(shared, "chunked-upload", body, headers=[("transfer-encoding", "chunked")]).status == 200
    assert upstream.seen("chunked-upload")[-1].body == ASK
    assert "Hello" in json.dumps([span.attributes for span in trace_of(langfuse_shared, "chunked-upload")])


def test_an_upload_that_is_not_buffered_is_not_held_up(shared, upstream, langfuse_shared):
    """The upstream gets the head before the client has sent its body, and the trace says what it could not see."""
    upstream.add("streamed-upload", fixture("chat_plain").answer())
    before = upstream.begun
    with shared.socket() as sock:
        head = f"POST /streamed-upload{CHAT} HTTP/1.1\r\nhost: h\r\napikey: key-of-acme\r\nx-case: streamed-upload\r\nx-message-id: streamed-upload\r\n"
        sock.sendall(head.encode() + b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(ASK))
        upstream.wait(lambda: upstream.begun > before, what="the request at the upstream, without its body")
        sock.sendall(ASK)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
    assert "was not seen: it is not buffered" in json.dumps([span.attributes for span in trace_of(langfuse_shared, "streamed-upload")])


@pytest.mark.parametrize("path", [CHAT, f"/unbuffered{CHAT}"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_stream_passes_piece_by_piece(shared, upstream, langfuse_shared, path, packed):
    """Each piece reaches the client while the upstream still holds back the next."""
    case = fixture("chat_stream_usage")
    id = f"pieces-{packed}-{len(path)}"
    pieces, gate = list(cut(case.body, "events")), Gate()
    headers = [STREAM]
    if packed:
        packer = __import__("zlib").compressobj(wbits=31)
        pieces = [packer.compress(piece) + packer.flush(2) for piece in pieces[:-1]] + [packer.compress(pieces[-1]) + packer.flush()]
        headers.append(("content-encoding", "gzip"))
    upstream.add(id, Answer(headers=headers, pieces=pieces, framing="chunked", gate=gate))
    with shared.socket(timeout=20) as sock:
        head = f"POST {path} HTTP/1.1\r\nhost: h\r\napikey: key-of-acme\r\nx-case: {id}\r\nx-message-id: {id}\r\nconnection: close\r\n"
        sock.sendall(head.encode() + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(case.request_body) + case.request_body)
        data, wanted = b"", b""
        for piece in pieces:
            wanted += piece
            while len(body_of(data)) < len(wanted):
                more = sock.recv(65536)
                assert more, data
                data += more
            gate.open()
        while more := sock.recv(65536):
            data += more
    assert body_of(data) == b"".join(pieces)
    assert b"content-length" not in data.lower().split(b"\r\n\r\n")[0]
    completion = next(span for span in trace_of(langfuse_shared, id) if span.name == "completion")
    assert completion.attributes["langfuse.observation.model.name"] == "gpt-4o-mini-2024-07-18"
    assert completion.attributes.get("langfuse.observation.completion_start_time"), completion.attributes


def body_of(data: bytes) -> bytes:
    """What has arrived of a chunked body."""
    _, _, rest = data.partition(b"\r\n\r\n")
    body = b""
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size or b"0", 16)
        body, rest = body + rest[:length], rest[length + 2 :]
    return body


BOMB = gzip.compress(b"0" * (200 << 20), 9)
HOSTILE = {
    "a bomb": ([("content-type", "application/json"), ("content-encoding", "gzip")], BOMB),
    "no gzip at all": ([("content-type", "application/json"), ("content-encoding", "gzip")], b"nothing of the kind"),
    "half a gzip": ([STREAM, ("content-encoding", "gzip")], gzip.compress(b"data: {}\n\n" * 1000)[:-20]),
    "unknown coding": ([STREAM, ("content-encoding", "rot13")], b"qngn: {}"),
    "no text": ([STREAM], bytes(range(256)) * 40),
    "one endless line": ([STREAM], b"data: " + b"x" * (6 << 20)),
    "deep": ([("content-type", "application/json")], b'{"choices":' + b"[" * 200_000),
    "nulls": ([("content-type", "application/json")], b"\0" * 10_000),
    "nothing": ([("content-type", "application/json")], b""),
    "lies": ([("content-type", "application/json"), *[(f"x-{n}", "y" * 200) for n in range(12)]], b'{"usage":{"prompt_tokens":-1e999,"completion_tokens":"9"}}'),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_bodies(shared, upstream, langfuse_shared, what):
    """As an answer and as a request: they pass as they are, the call is traced, the worker lives on."""
    workers = shared.workers()
    headers, body = HOSTILE[what]
    id = f"hostile-{what.replace(' ', '-')}"
    upstream.add(id, Answer(headers=headers, pieces=[body[i : i + 50_000] for i in range(0, len(body), 50_000)], framing="chunked"))
    reply = ask(shared, id)
    assert (reply.status, reply.body) == (200, body)
    reply = ask(shared, id, body, headers=[pair for pair in headers if pair[0] != "content-type"])
    assert (reply.status, reply.body) == (200, body)
    assert upstream.seen(id)[-1].body_length == len(body)
    assert trace_of(langfuse_shared, id)
    assert shared.workers() == workers and "a defect" not in shared.log()


# --- ends -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("path", [CHAT, f"/unbuffered{CHAT}"])
def test_a_client_that_leaves(shared, upstream, langfuse_shared, how, path):
    case = fixture("chat_stream_usage")
    id, gate = f"leaves-{how}-{len(path)}", Gate()
    upstream.add(id, Answer(headers=[STREAM], pieces=list(cut(case.body, "events")), framing="chunked", gate=gate))
    sock = shared.socket()
    head = f"POST {path} HTTP/1.1\r\nhost: h\r\napikey: key-of-acme\r\nx-case: {id}\r\nx-message-id: {id}\r\n"
    sock.sendall(head.encode() + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(case.request_body) + case.request_body)
    assert sock.recv(65536).startswith(b"HTTP/1.1 200")
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    assert end_of(langfuse_shared, id) == "client_gone"
    gate.open(100)


@pytest.mark.parametrize("misbehave", ["close", "reset", "hang"])
@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("path", [CHAT, f"/unbuffered{CHAT}"])
def test_an_upstream_that_breaks_off(shared, upstream, langfuse_shared, misbehave, framing, path):
    case = fixture("chat_stream_usage")
    id = f"breaks-{misbehave}-{framing}-{len(path)}"
    pieces = list(cut(case.body, "events"))
    upstream.add(id, Answer(headers=[STREAM], pieces=pieces, framing=framing, misbehave=misbehave, after=2))
    with pytest.raises(Exception):
        ask(shared, id, case.request_body, path)
    assert end_of(langfuse_shared, id) == "upstream_error"


def test_errors_of_kong_s_own(shared, upstream, langfuse_shared):
    assert ask(shared, "down", path=f"/down{CHAT}").status == 502
    upstream.add("late", Answer(silent=True))
    assert ask(shared, "late").status == 504
    assert ask(shared, "refused", path=f"/cut{CHAT}").status == 403
    assert [end_of(langfuse_shared, case) for case in ("down", "late", "refused")] == ["upstream_error", "timeout", "rejected"]


def test_the_caller_is_gone_before_the_answer(shared, upstream, langfuse_shared):
    upstream.add("impatient", Answer(silent=True))
    with shared.socket() as sock:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: h\r\napikey: key-of-acme\r\nx-case: impatient\r\nx-message-id: impatient\r\n"
        sock.sendall(head.encode() + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ASK) + ASK)
        upstream.wait(lambda: upstream.seen("impatient"))
    assert end_of(langfuse_shared, "impatient") == "client_gone"


def test_retries_are_told(kong, upstream, langfuse_shared):
    """Nobody is there; Kong tries again, and the trace is one."""
    target = service(f"http://127.0.0.1:{free_port()}", plugin(langfuse_shared.url))
    target["retries"] = 2
    made = kong([target])
    assert ask(made, "retried").status == 502
    assert "tried more than once" in json.dumps([span.attributes for span in trace_of(langfuse_shared, "retried")])
    assert made.stats()["calls"]["begun"] == 1


# --- Kong's log ------------------------------------------------------------------------------------------------------


def logged(kong, case: str, upstream, name: str = "chat_plain") -> dict:
    """What file-log wrote of a call."""
    file = kong.prefix / "calls.jsonl"
    lines = len(file.read_text().splitlines()) if file.exists() else 0
    upstream.add(case, fixture(name).answer())
    assert ask(kong, case, fixture(name).request_body).status == 200
    return json.loads(until(lambda: file.exists() and file.read_text().splitlines()[lines:])[0])


@pytest.mark.parametrize("name", ["chat_plain", "chat_stream_usage"])
def test_kong_s_log_plugins_carry_the_numbers(shared, upstream, name):
    told = logged(shared, f"log-{name}", upstream, name)["ai"]["ai-tracing"]
    usage = fixture(name).expected["usage"]
    assert (told["usage"]["prompt_tokens"], told["usage"]["completion_tokens"]) == (usage["input"], usage["output"])
    assert told["usage"]["total_tokens"] == usage["total"] and told["usage"]["cost"] > 0 and told["usage"]["time_per_token"] > 0
    assert (told["meta"]["provider_name"], told["meta"]["request_model"]) == (fixture(name).expected.get("provider", "openai_compatible"), "gpt-4o-mini")
    assert told["meta"]["response_model"] == "gpt-4o-mini-2024-07-18" and told["meta"]["llm_latency"] >= 0 and told["meta"]["plugin_id"]


def test_the_plugin_s_level_decides_what_is_logged(kong, upstream):
    upstream.add("quiet", fixture("chat_plain").answer())
    upstream.add("loud", fixture("chat_plain").answer())
    made = kong([service(upstream.url, plugin(log_level="warn"), path="/quiet"), service(upstream.url, plugin(), path="/loud", name="loud")])
    assert ask(made, "quiet", path=f"/quiet{CHAT}").status == 200
    assert ask(made, "loud", path=f"/loud{CHAT}").status == 200
    lines = until(lambda: [line for line in made.log().splitlines() if "AI Tracing trace_id" in line])
    assert len(lines) == 1 and "[info]" in lines[0] and "service=loud" in lines[0] and "prompt_tokens=" in lines[0], lines


def test_what_kong_would_not_show_is_not_handed_over(kong, upstream):
    """At Kong's default level, a line a call would cost a write a call."""
    upstream.add("notice", fixture("chat_plain").answer())
    made = kong([service(upstream.url, plugin())], level="notice")
    for _ in range(3):
        assert ask(made, "notice").status == 200
    until(lambda: made.stats()["engine"]["records"] == 3)
    assert made.stop() == 0
    assert "trace_id" not in made.log()


# --- what is wrong ---------------------------------------------------------------------------------------------------


def errors(kong) -> list[str]:
    return [line for line in kong.log().splitlines() if "AI Tracing" in line and "[error]" in line]


def untraced(kong, upstream, case: str) -> None:
    """Traffic passes as ever, without a trace."""
    upstream.add(case, fixture("chat_plain").answer())
    reply = ask(kong, case)
    assert (reply.status, reply.body) == (200, fixture("chat_plain").body)
    assert upstream.seen(case)[-1].header("traceparent") is None


def test_a_missing_library_is_one_error(kong, upstream, tmp_path):
    made = kong([service(upstream.url, plugin())], library=tmp_path)
    for _ in range(3):
        untraced(made, upstream, "missing")
    found = errors(made)
    assert len(found) == 1 and "libai_tracing_kong.so is neither in" in found[0], found


def test_a_library_that_cannot_be_loaded_is_one_error(kong, upstream, tmp_path):
    (tmp_path / "libai_tracing_kong.so").write_bytes(b"\x7fELF nonsense")
    made = kong([service(upstream.url, plugin())], library=tmp_path)
    untraced(made, upstream, "unloadable")
    found = errors(made)
    assert len(found) == 1 and "cannot load" in found[0], found


@pytest.mark.parametrize("source", ["int ai_tracing_abi(void) { return 77; }", "int other;"], ids=["other version", "other library"])
def test_a_library_of_another_version_is_one_error(kong, upstream, tmp_path, source):
    (tmp_path / "a.c").write_text(source)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "libai_tracing_kong.so", tmp_path / "a.c"], check=True)
    made = kong([service(upstream.url, plugin())], library=tmp_path)
    untraced(made, upstream, "version")
    found = errors(made)
    assert len(found) == 1 and "is of another version" in found[0], found


def test_a_reload_takes_a_new_library(kong, upstream, langfuse, tmp_path):
    """What was missing is found, and what is replaced is taken, without a restart: the master never loads the library."""
    made = kong([service(upstream.url, plugin(langfuse.url))], library=tmp_path)
    untraced(made, upstream, "upgraded")
    for file, traced in ((LIBRARY / "libai_tracing_kong.so", True), (None, False)):
        new = tmp_path / "new"
        if file:
            shutil.copy(file, new)
        else:
            new.write_bytes(b"broken")
        new.rename(tmp_path / "libai_tracing_kong.so")
        old = set(made.workers())
        made.reload()
        until(lambda: made.workers() and not old & set(made.workers()), what="new workers")
        if traced:
            assert ask(made, "upgraded").status == 200
            langfuse.trace(count=1)
        else:
            untraced(made, upstream, "broken")
    assert "cannot load" in errors(made)[-1]


@pytest.mark.skipif(bool(REAL), reason="a real control plane serves no requests, and wants Postgres")
def test_a_control_plane_needs_no_library(kong, upstream, tmp_path):
    made = kong([service(upstream.url, plugin())], library=tmp_path, env={"KONG_ROLE": "control_plane"})
    untraced(made, upstream, "control")
    assert errors(made) == []


def test_a_configuration_that_cannot_work_is_one_error(kong, upstream, langfuse_shared):
    """A pattern that Kong's PCRE knows and Rust's does not: that plugin traces nothing, the other one does."""
    wrong = plugin(redact=[{"pattern": "(?=a)"}])
    made = kong([service(upstream.url, wrong), service(upstream.url, plugin(langfuse_shared.url), path="/right", name="right")])
    for _ in range(3):
        untraced(made, upstream, "wrong")
    upstream.add("right", fixture("chat_plain").answer())
    assert ask(made, "right", path=f"/right{CHAT}").status == 200
    assert trace_of(langfuse_shared, "right")
    found = errors(made)
    assert len(found) == 1 and "redact[1].pattern" in found[0], found


def test_a_dead_langfuse_harms_nobody(kong, upstream):
    made = kong([service(upstream.url, plugin(f"http://127.0.0.1:{free_port()}"))])
    upstream.add("dead", fixture("chat_plain").answer())
    for _ in range(20):
        assert ask(made, "dead").status == 200
    assert made.stop() == 0


# --- processes --------------------------------------------------------------------------------------------------------


class Load:
    """Calls without a pause, on a thread of its own, until it is left; never more than a few ahead of their traces, since a
    reload may take its time, and its end leaves the workers two seconds."""

    AHEAD = 100

    def __init__(self, kong, case: str, langfuse):
        self.kong, self.case, self.langfuse, self.sent, self.failed, self.stopped = kong, case, langfuse, 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped.is_set():
            try:
                status = ask(self.kong, self.case).status
                if status != 200:
                    self.failed.append(status)
            except OSError as error:
                self.failed.append(repr(error))
            self.sent += 1
            until(lambda: self.stopped.is_set() or self.sent - self.traced() < self.AHEAD)

    def traced(self) -> int:
        return sum(span.name == "completion" for span in self.langfuse.spans())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


def test_a_reload_under_load_loses_nothing(kong, upstream, langfuse):
    upstream.add("reload", fixture("chat_plain").answer())
    made = kong([service(upstream.url, plugin(langfuse.url, environment="before"))], workers=2)
    with Load(made, "reload", langfuse) as load:
        until(lambda: load.sent >= 20)
        old = set(made.workers())
        made.declare([service(upstream.url, plugin(langfuse.url, environment="after"))])
        made.reload()
        until(lambda: made.workers() and not old & set(made.workers()), what="new workers")
        at = load.sent
        until(lambda: load.sent >= at + 20)
    assert load.failed == []
    completions = langfuse.trace(count=load.sent)
    assert len(completions) == load.sent
    told = json.dumps([span.attributes | span.resource for span in langfuse.spans()])
    assert "before" in told and "after" in told


def test_a_killed_worker_is_replaced_and_traces_on(kong, upstream, langfuse):
    upstream.add("killed", fixture("chat_plain").answer())
    made = kong([service(upstream.url, plugin(langfuse.url))])
    assert ask(made, "killed").status == 200
    langfuse.trace(count=1)
    worker = made.workers()[0]
    os.kill(worker, signal.SIGKILL)
    until(lambda: made.workers() and worker not in made.workers(), what="a new worker")

    def answered():
        try:
            return ask(made, "killed").status == 200
        except OSError:
            return False

    until(answered)
    langfuse.trace(count=2)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT], ids=["stop", "quit"])
def test_what_waits_at_the_end_is_delivered(kong, upstream, langfuse, how):
    """Traces wait for their batch to fill; the end of the worker is what sends them."""
    upstream.add("last", fixture("chat_plain").answer())
    made = kong([service(upstream.url, plugin(langfuse.url, queue={"max_coalescing_delay": 3600}))])
    for _ in range(5):
        assert ask(made, "last").status == 200
    assert langfuse.spans() == []
    assert made.stop(how) == 0
    assert len(langfuse.trace(count=5)) == 5


def test_a_call_in_flight_at_the_end_is_traced(kong, upstream, langfuse):
    case = fixture("chat_stream_usage")
    gate = Gate()
    upstream.add("flight", Answer(headers=[STREAM], pieces=list(cut(case.body, "events")), framing="chunked", gate=gate))
    made = kong([service(upstream.url, plugin(langfuse.url))])
    with made.socket() as sock:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: h\r\nx-case: flight\r\nx-message-id: flight\r\n"
        sock.sendall(head.encode() + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(case.request_body) + case.request_body)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        assert made.stop() == 0
    gate.open(100)
    assert "cut by the gateway" in json.dumps([span.attributes for span in trace_of(langfuse, "flight")])


def test_a_hanging_langfuse_does_not_hold_up_the_end(kong, upstream):
    """What could not be delivered is kept, which is said, and the worker is gone before Kong would kill it."""
    server = FakeLangfuse("hang")
    try:
        upstream.add("hang", fixture("chat_plain").answer())
        made = kong([service(upstream.url, plugin(server.url))])
        assert ask(made, "hang").status == 200
        server.wait(lambda: server.exports)
        assert made.stop(timeout=20) == 0
        assert "what is not delivered waits for the next start" in made.log()
    finally:
        server.close()


QUICKLY = {"max_coalescing_delay": 0.05, "initial_retry_delay": 0.05, "max_retry_delay": 0.2}


def spooled(kong) -> int:
    """Records that wait for their destinations."""
    return sum(destination["waiting"] for destination in kong.stats()["engine"]["destinations"])


def test_what_a_killed_worker_leaves_is_delivered_by_the_next(kong, upstream, langfuse):
    upstream.add("left", fixture("chat_plain").answer())
    langfuse.mode = 503
    made = kong([service(upstream.url, plugin(langfuse.url, queue=QUICKLY))])
    for _ in range(5):
        assert ask(made, "left").status == 200
    until(lambda: spooled(made) == 5)
    worker = made.workers()[0]
    os.kill(worker, signal.SIGKILL)
    until(lambda: made.workers() and worker not in made.workers(), what="a new worker")
    langfuse.mode = "v4"
    assert len(langfuse.trace(count=5)) == 5


def test_what_a_stop_leaves_is_delivered_after_the_next_start(kong, upstream, langfuse, tmp_path):
    upstream.add("kept", fixture("chat_plain").answer())
    langfuse.mode = 503
    services = [service(upstream.url, plugin(langfuse.url, queue=QUICKLY))]
    first = Kong(tmp_path, services)
    for _ in range(5):
        assert ask(first, "kept").status == 200
    until(lambda: spooled(first) == 5)
    finish([first])
    langfuse.mode = "v4"
    second = Kong(tmp_path, services)
    assert len(langfuse.trace(count=5)) == 5
    finish([second])


def test_without_a_spool_traces_wait_in_memory(kong, upstream, langfuse):
    upstream.add("memory", fixture("chat_plain").answer())
    made = kong([service(upstream.url, plugin(langfuse.url))], env={"AI_TRACING_SPOOL_MAX_SIZE": "0"})
    assert ask(made, "memory").status == 200
    langfuse.trace(count=1)
    assert not (made.prefix / "ai-tracing").exists()


def test_the_rock_installs_and_runs(kong, upstream, langfuse, tmp_path):
    """`luarocks make` with a built library: what it installs is a plugin that traces."""
    rockspec = next(ROOT.glob("kong-plugin-ai-tracing-*.rockspec"))
    done = subprocess.run(
        ["luarocks", "--lua-version", "5.1", "--tree", tmp_path, "make", rockspec.name],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"AI_TRACING_LIBRARY": str(LIBRARY / "libai_tracing_kong.so")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    share, lib = tmp_path / "share/lua/5.1", tmp_path / "lib/lua/5.1"
    upstream.add("rock", fixture("chat_plain").answer())
    made = kong([service(upstream.url, plugin(langfuse.url))], library=lib, env={"AI_TRACING_PLUGIN": str(share)})
    assert ask(made, "rock").status == 200
    langfuse.trace(count=1)
    assert str(lib) in open(f"/proc/{made.workers()[0]}/maps").read()


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Taker(Server):
    """A receiver that takes everything and keeps nothing."""

    remembers = False

    async def respond(self, request: Request, connection: Connection) -> bool:
        await connection.send(head(200, [("content-type", "application/json"), ("content-length", "2")]) + b"{}")
        return True


@pytest.mark.parametrize("receiver", ["none", "up", "down"])
def test_memory_stays_flat(kong, upstream, receiver):
    """AI_TRACING_REQUESTS=200000 for the long form. A real Kong's Lua takes some 30,000 calls to settle."""
    wanted = int(os.environ.get("AI_TRACING_REQUESTS") or (60_000 if REAL else 3000))
    upstream.add("flat", fixture("chat_stream_usage").answer("whole"))
    taker = Taker()
    url = {"none": None, "up": taker.url, "down": f"http://127.0.0.1:{free_port()}"}[receiver]
    # What waits in memory is memory in use: the queue is one that the first calls fill. The others wait on disk.
    made = kong([service(upstream.url, plugin(url, queue={"max_entries": 500, "max_coalescing_delay": 0.05}))], level="warn")
    worker = made.workers()[0]
    begun, seen = [], []
    read = lambda engine: engine["records"] + engine["sink"]["dropped_entries"] + engine["sink"]["dropped_bytes"]

    def burst(count: int):
        head = f"POST {CHAT} HTTP/1.1\r\nhost: h\r\nx-case: flat\r\ncontent-type: application/json\r\ncontent-length: {len(ASK)}\r\n\r\n".encode() + ASK
        for sent in range(0, count, 500):
            some = min(500, count - sent)
            # nginx closes a connection after so many requests, 1000 in Kong 3.4.
            with made.socket() as sock:
                for _ in range(some):
                    sock.sendall(head)
                    data = b""
                    while not data.endswith(b"0\r\n\r\n"):
                        piece = sock.recv(65536)
                        assert piece, data
                        data += piece
            # What waits to be read is memory in use, not lost.
            until(lambda: read(made.stats()["engine"]) == sum(begun) + sent + some)
        begun.append(count)
        if receiver == "up":
            until(lambda: made.stats()["engine"]["destinations"][0]["delivered"] == sum(begun))
        made.request("GET", "/.host/collect")
        seen.append(rss(worker))

    settling = wanted // 2 if REAL else wanted // 3
    for count in (settling, (wanted - settling) // 2, (wanted - settling) // 2):
        burst(count)
    stats = made.stats()
    assert (stats["open"], stats["held_bytes"], stats["calls"]["begun"]) == (0, 0, sum(begun))
    taker.close()
    assert seen[2] - seen[0] < 8 << 20, seen
