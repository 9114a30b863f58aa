"""Bad input: whatever passes, the client sees exactly what the upstream sent (or Kong's error), the record says what is
known, and the gateway lives on with its memory bounded."""

import contextlib
import gzip
import hashlib
import http.client
import json
import socket
import struct
import threading
import zlib

import brotli
import pytest
import zstandard
from upstream import Answer, Gate, fixture

MIB = 1 << 20
# A body that is buffered whole shows in the peak: three at a time are 300 MB.
LARGE = 100_000_000
RSS_BOUND = 200 * MIB
JSON = [("content-type", "application/json")]
CHAT = "/v1/chat/completions"
ASK = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}'
ASK_STREAM = ASK[:-1] + b',"stream":true}'


@pytest.fixture(scope="module")
def gateway(start_shared, upstream):
    made = start_shared()
    made.serve("bad", upstream.url, plugin={})
    return made


@pytest.fixture(autouse=True)
def still_alive(gateway, upstream):
    """After every test: no panic, and the next call is answered and traced as ever."""
    yield
    gateway.alive()
    case = fixture("chat_plain")
    upstream.add(case.id, case.answer())
    reply = gateway.request("POST", case.path, case.request_body, [*case.request_headers, ("x-case", case.id)])
    assert (reply.status, reply.body) == (200, case.body)


def ask(gateway, case: str, body: bytes = ASK, headers=(), path: str = CHAT, **kwargs):
    """A chat request for a case."""
    return gateway.request("POST", path, body, [*JSON, ("x-case", case), ("x-message-id", case), *headers], **kwargs)


def through(gateway, upstream, case: str, answer: Answer, body: bytes = ASK, headers=()):
    """Plays an answer; the client must get its status and bytes, the upstream the client's. Returns the record."""
    upstream.add(case, answer)
    reply = ask(gateway, case, body, headers)
    assert reply.status == answer.status
    assert reply.body == b"".join(answer.parts())
    assert upstream.seen(case)[-1].body == body
    return gateway.trace(case)


# --- bodies that are not what they should be --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("not-json", b"hello"),
        ("empty", b""),
        ("truncated", ASK[:40]),
        ("nul", b"\0" * 100),
        ("invalid-utf8", b'{"model":"gpt","messages":[{"role":"user","content":"\xff\xfe\x80"}]}'),
        ("utf16", '{"model":"gpt"}'.encode("utf-16")),
        ("bom", b"\xef\xbb\xbf" + ASK),
        ("array", b"[1,2,3]"),
        ("null", b"null"),
        ("number", b"1e999"),
        ("deep", b"[" * 100_000 + b"]" * 100_000),
        ("deep-messages", b'{"model":"gpt","messages":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}"),
        ("wrong-types", b'{"model":7,"messages":"no","temperature":"hot","max_tokens":-1,"stream":"yes","stop":3,"n":[],"metadata":[1],"user":{}}'),
        ("huge-numbers", b'{"model":"m","messages":[],"max_tokens":1e400,"seed":99999999999999999999999,"temperature":-0.0}'),
        ("lone-surrogate", rb'{"model":"m","messages":[{"role":"user","content":"\ud800 \udc00 \u0000"}]}'),
        ("duplicate-keys", b'{"model":"a","model":"b","messages":[],"messages":null}'),
        ("many-messages", b'{"model":"m","messages":[' + b",".join([b'{"role":"user","content":"x"}'] * 20_000) + b"]}"),
    ],
)
def test_request_body(gateway, upstream, name, body):
    case = fixture("chat_plain")
    record = through(gateway, upstream, f"request-{name}", Answer(body=case.body), body)
    assert record["status"] == 200
    assert record["response"]["text"] == "Bonjour le monde 🌍", "the answer is read whatever was asked"


@pytest.mark.parametrize(
    ("name", "content_type", "body"),
    [
        ("html", "text/html", b"<html>502</html>"),
        ("empty", "application/json", b""),
        ("truncated-json", "application/json", fixture("chat_plain").body[:200]),
        ("truncated-sse", "text/event-stream", fixture("chat_stream_usage").body[:900]),
        ("cut-in-utf8", "text/event-stream", fixture("chat_stream").body.split("🌍".encode())[0] + b"\xf0\x9f"),
        ("garbage-sse", "text/event-stream", b"data: {\n\ndata: nope\n\nevent\n\n: \n\ndata\n\n\n\n\ndata: []\n\ndata: {\"choices\":7}\n\n"),
        ("sse-as-json", "application/json", fixture("chat_stream_usage").body),
        ("json-as-sse", "text/event-stream", fixture("chat_plain").body),
        ("no-type", "", fixture("chat_plain").body),
        ("invalid-utf8", "application/json", b'{"id":"x","choices":[{"message":{"content":"\xff\xff"}}]}'),
        ("nul", "text/event-stream", b"\0" * 5000),
        ("wrong-types", "application/json", b'{"id":1,"model":[],"choices":{"0":1},"usage":"many"}'),
        ("negative-usage", "application/json", b'{"id":"x","choices":[],"usage":{"prompt_tokens":-5,"completion_tokens":1.5,"total_tokens":"9"}}'),
        ("deep", "application/json", b'{"choices":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        ("binary", "application/octet-stream", bytes(range(256)) * 64),
        ("long-line", "text/event-stream", b"data: " + b"x" * (6 * MIB) + b"\n\n"),
        ("many-empty-events", "text/event-stream", b"data:\n\n" * 200_000),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_response_body(gateway, upstream, name, content_type, body, framing):
    headers = [("content-type", content_type)] if content_type else []
    pieces = [body[i : i + 100_003] for i in range(0, len(body), 100_003)]
    record = through(gateway, upstream, f"response-{name}-{framing}", Answer(headers=headers, pieces=pieces, framing=framing), ASK_STREAM)
    assert (record["status"], record["end"]) == (200, "complete")
    if name in ("sse-as-json",):
        assert record["usage"]["total"] == 27, "told by content, not by media type"
    if name in ("json-as-sse", "no-type"):
        assert record["response"]["text"] == "Bonjour le monde 🌍"
    if name == "cut-in-utf8":
        assert record["response"]["text"].startswith("Bonjour le monde")
    if name == "truncated-sse":
        assert record["response"]["text"].startswith("Bon")


# --- encodings --------------------------------------------------------------------------------------------------------

ENCODINGS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["chat_plain", "chat_stream_usage"])
def test_encoded_response(gateway, upstream, encoding, name):
    """The client gets the encoded bytes, the record the text inside."""
    case = fixture(name)
    body = ENCODINGS[encoding](case.body)
    pieces = [body[i : i + 7] for i in range(0, len(body), 7)]
    answer = Answer(headers=[*case.headers, ("content-encoding", encoding)], pieces=pieces, framing="chunked")
    record = through(gateway, upstream, f"encoded-{encoding}-{name}", answer, case.request_body)
    assert record["response"]["text"] == case.expected["response"]["text"]
    assert record["usage"]["total"] == case.expected["usage"].get("total", 27)


def test_encoded_stream_piece_by_piece_has_its_first_token_in_time(gateway, upstream):
    """A compressed stream that is flushed per event: time to first token is that of the flush that carried it."""
    case = fixture("chat_stream_usage")
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH) for event in case.answer().parts()] + [packer.flush()]
    record = through(gateway, upstream, "encoded-flushed", Answer(headers=[*case.headers, ("content-encoding", "gzip")], pieces=pieces, framing="chunked"), case.request_body)
    assert record["response"]["text"] == "Bonjour le monde 🌍!"
    assert 0 < record["timing"]["time_to_first_token_ms"] <= record["timing"]["total_duration_ms"]


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate", "x-unknown", "gzip, br"])
def test_encoding_that_is_a_lie(gateway, upstream, encoding):
    body = fixture("chat_plain").body
    record = through(gateway, upstream, f"lie-{encoding}", Answer(headers=[*JSON, ("content-encoding", encoding)], body=body))
    assert record["status"] == 200


def zip_bomb(encoding: str) -> bytes:
    """A valid chat answer that inflates to 500 MB."""
    before, after = b'{"choices":[{"message":{"content":"', b'"}}],"usage":{"total_tokens":5}}'
    if encoding == "zstd":
        packer = zstandard.ZstdCompressor().compressobj()
    else:
        packer = zlib.compressobj(wbits=31)
    return packer.compress(before) + b"".join(packer.compress(b"a" * MIB) for _ in range(500)) + packer.compress(after) + packer.flush()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_zip_bomb(start, upstream, encoding):
    body = zip_bomb(encoding)
    gateway = start("--upstream", upstream.url)
    record = through(gateway, upstream, f"bomb-{encoding}", Answer(headers=[*JSON, ("content-encoding", encoding)], body=body))
    assert record["status"] == 200
    assert len(record["response"]["text"] or "") <= 40 * MIB
    assert record["issues"], "what was cut is said"
    assert gateway.memory() < 512 * MIB, "500 MB were never held at once"


# --- 100 MB -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large_gateway(start_shared, upstream):
    """A gateway of its own, so that its peak memory is that of these tests alone."""
    made = start_shared()
    made.serve("large", upstream.url, plugin={})
    return made


def at_once(count: int, function) -> list:
    """Runs a function so many times at the same time."""
    results: list = []
    threads = [threading.Thread(target=lambda n=n: results.append(function(n))) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert len(results) == count, "a request never ended"
    return results


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_response_of_100_mb(large_gateway, upstream, framing):
    """Known at its beginning and its end: the text is cut, the usage is not."""
    filler = b"lorem ipsum " * (LARGE // 12)
    body = b'{"id":"big","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"' + filler + b'"},"finish_reason":"stop"}]}'
    digest = hashlib.sha256(body).hexdigest()
    case = f"large-response-{framing}"
    pieces = [body[i : i + MIB] for i in range(0, len(body), MIB)]
    upstream.add(case, Answer(pieces=pieces, framing=framing))
    for reply in at_once(3, lambda _: ask(large_gateway, case, timeout=300)):
        assert (reply.status, len(reply.body)) == (200, len(body))
        assert hashlib.sha256(reply.body).hexdigest() == digest
    records = large_gateway.traces(3, lambda record: record["context"]["message_id"] == case)
    assert all(record["end"] == "complete" and record["issues"] for record in records)
    assert large_gateway.memory() < RSS_BOUND, f"{large_gateway.memory() / MIB:.0f} MiB"


def test_stream_of_100_mb(large_gateway, upstream):
    event = fixture("chat_stream").answer().parts()[1]
    pieces = [event * 400] * (LARGE // (400 * len(event)))
    tail = fixture("chat_stream_usage").answer().parts()[-3:]
    upstream.add("large-stream", Answer(headers=[("content-type", "text/event-stream")], pieces=pieces + tail, framing="chunked"))
    reply = ask(large_gateway, "large-stream", ASK_STREAM, timeout=300)
    assert len(reply.body) == sum(map(len, pieces + tail))
    record = large_gateway.trace("large-stream")
    assert record["usage"]["total"] == 27, "the end of a long stream is kept"
    assert record["response"]["finish_reasons"] == ["stop"]
    assert large_gateway.memory() < RSS_BOUND, f"{large_gateway.memory() / MIB:.0f} MiB"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_request_of_100_mb(large_gateway, upstream, framing):
    body = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"' + b"x" * LARGE + b'"}]}'
    case = f"large-request-{framing}"
    upstream.add(case, fixture("chat_plain").answer())
    digest = hashlib.sha256(body).hexdigest()

    def send(_):
        if framing == "length":
            return ask(large_gateway, case, body, timeout=300).status
        host, port = large_gateway.proxy.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=300)
        pieces = (body[i : i + MIB] for i in range(0, len(body), MIB))
        connection.request("POST", CHAT, pieces, {"content-type": "application/json", "x-case": case, "x-message-id": case}, encode_chunked=True)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status

    assert at_once(3, send) == [200] * 3
    for request in upstream.seen(case):
        assert (request.body_length, request.body_sha256) == (len(body), digest)
    records = large_gateway.traces(3, lambda record: (record["response"]["id"], record["context"]["message_id"]) == ("chatcmpl-9a", case))
    assert all(record["issues"] and record["usage"]["total"] == 129 for record in records)
    assert large_gateway.memory() < RSS_BOUND, f"{large_gateway.memory() / MIB:.0f} MiB"


# --- heads ------------------------------------------------------------------------------------------------------------


def test_many_headers_pass_or_are_refused(gateway, upstream):
    """A few hundred kilobytes of headers get an answer (passed on, or 431): never silence, never a crash."""
    case = fixture("chat_plain")
    upstream.add("headers", case.answer())
    for count, size in ((50, 500), (300, 1000), (2000, 100), (10, 100_000)):
        headers = [(f"x-filler-{n}", "v" * size) for n in range(count)]
        try:
            reply = ask(gateway, "headers", headers=headers)
        except (ConnectionError, http.client.HTTPException):
            assert count * size > 64_000, "refused without an answer"
            continue
        assert reply.status in (200, 400, 431, 494), reply.status
        if count * size <= 32_000:
            assert reply.status == 200
            assert upstream.seen("headers")[-1].header("x-filler-49") == "v" * 500


def test_many_response_headers(gateway, upstream):
    headers = [*JSON, *((f"x-filler-{n}", "v" * 300) for n in range(60))]
    record = through(gateway, upstream, "response-headers", Answer(headers=headers, body=fixture("chat_plain").body))
    assert record["usage"]["total"] == 129


def test_odd_header_values(gateway, upstream):
    """Latin-1 and other bytes in context headers: traced as far as they can be read, passed on as they are."""
    upstream.add("odd", fixture("chat_plain").answer())
    with gateway.socket() as sock:
        sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Case: odd\r\nX-Message-Id: odd\r\nX-User-Id: \xff\xfe caf\xe9\r\n"
            b"traceparent: not-a-traceparent\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(ASK)
            + ASK
        )
        assert read_all(sock).startswith(b"HTTP/1.1 200")
    assert upstream.seen("odd")[-1].header("x-user-id").encode("latin-1") == b"\xff\xfe caf\xe9"
    record = gateway.trace("odd")
    assert record["parent_span_id"] is None
    assert len(record["trace_id"]) == 32


def read_all(sock: socket.socket) -> bytes:
    """Everything until the peer closes."""
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


@pytest.mark.parametrize(
    "raw",
    [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\ncontent-length: nope\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/chat/completions HTTP/9.9\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
        b"A" * 200_000,
        b"POST /%00%ff\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_http(gateway, raw):
    """Refused with 400 or closed; never left hanging."""
    with gateway.socket(timeout=30) as sock:
        answer = b""
        # A gateway that has already refused may have closed before the last byte was sent.
        with contextlib.suppress(OSError):
            sock.sendall(raw)
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            answer = read_all(sock)
        assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 505"))


# --- an upstream that misbehaves ---------------------------------------------------------------------------------------


def kong_error(reply, status: int) -> None:
    """Kong's JSON error body."""
    assert reply.status == status, reply.body
    assert reply.json()["message"]
    assert "application/json" in reply.header("content-type")


def test_nobody_listens(gateway, upstream):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        gateway.serve("refused", f"http://127.0.0.1:{port}", ["/refused"], plugin={}, connect_timeout=2000, retries=1)
        reply = ask(gateway, "refused", path="/refused" + CHAT)
    kong_error(reply, 502)
    record = gateway.trace("refused")
    assert (record["end"], record["status"]) == ("upstream_error", 502)
    assert record["request"]["model"] == "gpt-4o-mini"


def test_name_that_does_not_resolve(gateway):
    gateway.serve("nameless", "http://no-such-host.invalid:80", ["/nameless"], plugin={}, connect_timeout=3000, retries=0)
    reply = ask(gateway, "nameless", path="/nameless" + CHAT)
    kong_error(reply, reply.status if reply.status in (502, 503) else 503)
    assert gateway.trace("nameless")["end"] == "upstream_error"


@pytest.fixture(scope="module")
def impatient(gateway, upstream):
    """A service with a read timeout of 300 ms."""
    gateway.serve("impatient", upstream.url, ["/impatient"], plugin={}, read_timeout=300, retries=0)
    return "/impatient" + CHAT


def test_upstream_that_never_answers(gateway, upstream, impatient):
    upstream.add("silent", Answer(silent=True))
    reply = ask(gateway, "silent", path=impatient)
    kong_error(reply, 504)
    record = gateway.trace("silent")
    assert (record["end"], record["status"]) == ("timeout", 504)
    upstream.wait(lambda: "silent" in upstream.gone, what="the upstream connection to be closed")


def test_upstream_that_hangs_in_the_middle(gateway, upstream, impatient):
    """The client keeps what had come, and sees that the answer broke off."""
    answer = fixture("chat_stream_usage").answer()
    answer.misbehave, answer.after = "hang", 3
    upstream.add("hang", answer)
    broken_off(gateway, "hang", b"".join(answer.parts()[:3]), path=impatient)
    record = gateway.trace("hang")
    assert (record["end"], record["status"], record["response"]["text"]) == ("timeout", 200, "Bonjour")


def broken_off(gateway, case: str, expected: bytes, path: str = CHAT) -> None:
    """The client gets a prefix of the answer that holds at least what must be there, then an incomplete end."""
    with pytest.raises((http.client.IncompleteRead, ConnectionError)) as raised:
        ask(gateway, case, ASK_STREAM, path=path)
    if isinstance(raised.value, http.client.IncompleteRead):
        # http.client keeps of a cut chunked body what it had decoded.
        assert expected.startswith(raised.value.partial) or raised.value.partial.startswith(expected)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("after", [0, 1, 4])
def test_upstream_that_breaks_off(gateway, upstream, how, framing, after):
    answer = fixture("chat_stream_usage").answer()
    answer.framing, answer.misbehave, answer.after = framing, how, after
    case = f"break-{how}-{framing}-{after}"
    upstream.add(case, answer)
    broken_off(gateway, case, b"".join(answer.parts()[:after]))
    record = gateway.trace(case)
    assert (record["end"], record["status"]) == ("upstream_error", 200)
    # A reset may overtake what was sent just before it; a close may not.
    if how == "close":
        assert (record["response"]["text"] or "") == {0: "", 1: "", 4: "Bonjour le"}[after]


def test_upstream_that_closes_before_it_answers(gateway, upstream):
    upstream.add("nothing", Answer(framing="raw", body=b"", misbehave="close"))
    reply = ask(gateway, "nothing")
    kong_error(reply, 502)
    assert gateway.trace("nothing")["end"] == "upstream_error"
    assert len(upstream.seen("nothing")) == 1, "a request that was sent is not sent again"


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("no-http", b"SSH-2.0-OpenSSH_9\r\n"),
        ("bad-status", b"HTTP/1.1 abc\r\n\r\n"),
        ("bad-chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"),
        ("cut-head", b"HTTP/1.1 200 OK\r\ncontent-ty"),
    ],
)
def test_upstream_that_speaks_no_http(gateway, upstream, name, raw):
    upstream.add(name, Answer(framing="raw", body=raw))
    try:
        reply = ask(gateway, name)
        kong_error(reply, 502)
    except (http.client.IncompleteRead, ConnectionError):
        assert name == "bad-chunk", "the head had passed, so the body breaks off"
    assert gateway.trace(name)["end"] == "upstream_error"


def test_length_that_promises_more(gateway, upstream):
    body = fixture("chat_plain").body
    upstream.add("more", Answer(body=body, claimed_length=len(body) + 50, misbehave="close", after=1))
    broken_off(gateway, "more", body)
    record = gateway.trace("more")
    assert record["end"] == "upstream_error"
    assert record["usage"]["total"] == 129, "what came is read all the same"


def test_length_that_promises_less(gateway, upstream):
    """The promised bytes reach the client; what follows them is no part of the answer, nor of the next one."""
    body = fixture("chat_plain").body
    upstream.add("less", Answer(body=body + b"EXTRA", claimed_length=len(body), misbehave="close", after=1))
    reply = ask(gateway, "less")
    assert (reply.status, reply.body) == (200, body)
    assert gateway.trace("less")["end"] == "complete"


def test_head_and_no_content(gateway, upstream):
    upstream.add("none", Answer(204, headers=[], framing="raw", body=b"HTTP/1.1 204 No Content\r\n\r\n"))
    assert ask(gateway, "none").status == 204
    assert gateway.trace("none")["status"] == 204


def test_answer_before_the_request_has_ended(gateway, upstream):
    """An upstream that refuses early, while the client still sends."""
    upstream.add("/early", Answer(413, body=b'{"error":{"message":"too large"}}'))
    with gateway.socket() as sock:
        sock.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\ncontent-length: 10\r\nconnection: close\r\n\r\n0123456789")
        assert b"too large" in read_all(sock)


# --- a client that goes away -------------------------------------------------------------------------------------------


def request_bytes(case: str, body: bytes) -> bytes:
    return (
        f"POST {CHAT} HTTP/1.1\r\nHost: gateway\r\ncontent-type: application/json\r\nX-Case: {case}\r\nX-Message-Id: {case}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    )


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_client_gone_at_any_byte_of_its_request(gateway, upstream, reset):
    """Cut at every 7th byte of head and body: a call that never became whole leaves at most a record that says so."""
    whole = request_bytes("gone-request", ASK)
    upstream.add("gone-request", fixture("chat_plain").answer())
    for at in range(0, len(whole), 7):
        with gateway.socket() as sock:
            sock.sendall(whole[:at])
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    upstream.add("gone-fence", fixture("chat_plain").answer())
    ask(gateway, "gone-fence")
    gateway.trace("gone-fence")
    assert {r["end"] for r in gateway.records() if r["context"]["message_id"] == "gone-request"} <= {"client_gone"}


@pytest.mark.parametrize("pieces", range(0, 8))
def test_client_gone_at_any_piece_of_the_answer(gateway, upstream, pieces):
    """What had passed until then is in the record, and the upstream is let go."""
    case = fixture("chat_stream_usage")
    name = f"gone-{pieces}"
    gate = Gate()
    answer = case.answer()
    answer.gate = gate
    # An upstream notices when its writes fail; it is kept writing by a long tail.
    answer.pieces = answer.parts()[:8] + [b": more\n\n" * 10_000] * 400
    upstream.add(name, answer)
    gate.open(pieces)
    expected = b"".join(answer.pieces[: pieces + 1])
    with gateway.socket() as sock:
        sock.sendall(request_bytes(name, case.request_body))
        data = b""
        while strip_chunks(data) != expected:
            piece = sock.recv(65536)
            assert piece, "closed too early"
            data += piece
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    record = gateway.trace(name)
    assert (record["end"], record["status"]) == ("client_gone", 200)
    assert (record["response"]["text"] or "") == "Bonjour le monde 🌍!"[: [0, 3, 7, 10, 16, 18, 19, 19][pieces]]
    gate.open(1000)
    upstream.wait(lambda: name in upstream.gone, what="the upstream to be let go")


def strip_chunks(data: bytes) -> bytes:
    """The body so far of a chunked response; whole chunks only."""
    _, found, rest = data.partition(b"\r\n\r\n")
    body = b""
    while found and b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if len(rest) < length + 2 or not length:
            break
        body, rest = body + rest[:length], rest[length + 2 :]
    return body


def test_client_that_does_not_read(gateway, upstream):
    """A client that stops reading holds its own call alone: memory stays bounded, others pass."""
    upstream.add("unread", Answer(headers=[("content-type", "text/event-stream")], pieces=[b"data: x\n\n" * 20_000] * 600, framing="chunked"))
    before = gateway.memory("VmRSS")
    with gateway.socket() as sock:
        sock.sendall(request_bytes("unread", ASK_STREAM))
        upstream.wait(lambda: upstream.sent.get("unread"), what="the first piece")
        case = fixture("chat_plain")
        upstream.add(case.id, case.answer())
        for _ in range(20):
            assert ask(gateway, case.id).body == case.body
        assert upstream.sent["unread"] < 600, "108 MB were taken for a client that reads nothing"
        assert gateway.memory("VmRSS") - before < 64 * MIB
    assert gateway.trace("unread")["end"] == "client_gone"


# --- what is not ours ---------------------------------------------------------------------------------------------------


def test_traffic_that_is_no_llm_call_passes_untraced(gateway, upstream):
    for method, path in (("GET", "/index.html"), ("GET", "/v1/models"), ("PUT", "/v1/files/1"), ("DELETE", CHAT), ("OPTIONS", CHAT)):
        upstream.add(path, Answer(headers=[("content-type", "text/plain"), ("set-cookie", "a=1"), ("set-cookie", "b=2")], body=b"as it is"))
        reply = gateway.request(method, path, b"x" if method == "PUT" else None, [("x-message-id", "untraced")])
        assert (reply.status, reply.body) == (200, b"as it is")
        assert [v for k, v in reply.headers if k.lower() == "set-cookie"] == ["a=1", "b=2"]
    upstream.add("fence", fixture("chat_plain").answer())
    ask(gateway, "fence")
    gateway.trace("fence")
    assert not [record for record in gateway.records() if record["context"]["message_id"] == "untraced"]


def test_no_route(start):
    gateway = start()
    reply = gateway.request("POST", CHAT, ASK, JSON)
    kong_error(reply, 404)
    assert reply.json()["message"] == "no Route matched with those values"


def test_a_burst_of_connections(gateway, upstream):
    """Two hundred clients at once, each with a call of its own: all are answered, each is traced once."""
    case = fixture("chat_stream_usage")
    upstream.add("burst", case.answer())
    replies = at_once(200, lambda n: gateway.request("POST", CHAT, case.request_body, [*JSON, ("x-case", "burst"), ("x-message-id", f"burst-{n}")]))
    assert all((reply.status, reply.body) == (200, case.body) for reply in replies)
    records = gateway.traces(200, lambda record: (record["context"]["message_id"] or "").startswith("burst-"))
    assert len(records) == 200
    assert json.dumps(sorted({record["usage"]["total"] for record in records})) == "[27]"
