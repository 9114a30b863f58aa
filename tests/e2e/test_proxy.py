"""The proxy as clients and upstreams meet it on the wire: protocols, headers, bodies, upgrades."""

import contextlib
import json

import pytest
from gateway import shell
from upstream import Answer, Gate, fixture
from wire import Connection, Request, Server, head

CHAT = "/v1/chat/completions"
JSON = [("content-type", "application/json")]


def exchange(gateway, raw: bytes) -> bytes:
    """Sends raw bytes and reads until the gateway closes."""
    with gateway.socket() as sock:
        sock.sendall(raw)
        data = b""
        while piece := sock.recv(65536):
            data += piece
        return data


def test_http2_client(gateway, upstream):
    """A client that speaks HTTP/2 (prior knowledge), plain and streamed."""
    for name in ("chat_plain", "chat_stream_usage"):
        case = fixture(name)
        upstream.add(case.id, case.answer())
        done = shell(
            f"curl -sS --http2-prior-knowledge http://{gateway.proxy}{CHAT} -H 'content-type: application/json' -H 'x-case: {name}' -H 'x-message-id: h2-{name}' "
            f"-w '%{{http_version}} %{{http_code}}' -d '{case.request_body.decode()}'"
        )
        assert done.stdout == case.body.decode() + "2 200", done.stderr
        record = gateway.trace(f"h2-{name}")
        assert record["usage"] and record["end"] == "complete"
        assert upstream.seen(name)[-1].header("host") == upstream.url.removeprefix("http://")


def test_connections_are_used_again(gateway, upstream):
    case = fixture("chat_plain")
    upstream.add("reuse", case.answer())
    for _ in range(20):
        gateway.request("POST", CHAT, case.request_body, [*JSON, ("x-case", "reuse")])
    assert len({request.connection for request in upstream.seen("reuse")}) <= 4


def test_headers_as_kong_sets_them(gateway, upstream):
    upstream.add("/headers", Answer(headers=[("content-type", "text/plain"), ("connection", "x-hop"), ("x-hop", "1"), ("x-kept", "2"), ("server", "theirs")], body=b"ok"))
    reply = gateway.request(
        "GET", "/headers", headers=[("connection", "x-mine, keep-alive"), ("x-mine", "1"), ("x-forwarded-for", "10.0.0.1"), ("te", "trailers"), ("proxy-authorization", "secret"), ("x-end", "kept")]
    )
    assert (reply.header("x-kept"), reply.header("x-hop")) == ("2", None)
    assert reply.header("via"), "Kong names itself in Via"
    sent = upstream.seen("/headers")[-1]
    assert sent.header("x-mine") is None
    assert sent.header("x-end") == "kept"
    assert sent.header("x-forwarded-proto") == "http"
    assert sent.header("x-forwarded-path") == "/headers"
    assert sent.header("x-forwarded-host") == gateway.proxy.split(":")[0]
    assert sent.header("x-forwarded-port") == gateway.proxy.split(":")[1]
    assert sent.header("x-real-ip") == "127.0.0.1" or sent.header("x-real-ip") == "10.0.0.1"
    assert sent.header("x-forwarded-for").endswith("127.0.0.1")


def test_expect_100_continue(gateway, upstream):
    """A client that waits for leave to send its body gets it."""
    case = fixture("chat_plain")
    upstream.add("expect", case.answer())
    with gateway.socket(timeout=30) as sock:
        sock.sendall(
            f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nx-case: expect\r\nx-message-id: expect\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: {len(case.request_body)}\r\n\r\n".encode()
        )
        assert sock.recv(1024).startswith(b"HTTP/1.1 100")
        sock.sendall(case.request_body)
        data = b""
        while piece := sock.recv(65536):
            data += piece
    assert data.startswith(b"HTTP/1.1 200")
    assert case.body in data
    assert gateway.trace("expect")["request"]["model"] == "gpt-4o-mini"


def test_trailers_pass(gateway, upstream):
    case = fixture("chat_stream_usage")
    answer = case.answer()
    answer.trailers = [("x-checksum", "abc123")]
    upstream.add("trailers", answer)
    data = exchange(
        gateway,
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nx-case: trailers\r\nte: trailers\r\nconnection: close\r\ncontent-length: {len(case.request_body)}\r\n\r\n".encode() + case.request_body,
    )
    assert b"x-checksum: abc123" in data.lower()


@pytest.mark.parametrize("method", ["HEAD", "GET", "OPTIONS", "PATCH", "DELETE"])
def test_any_method(gateway, upstream, method):
    upstream.add("/any", Answer(204, headers=[("x-answer", "yes")], framing="raw", body=b"HTTP/1.1 204 No Content\r\nx-answer: yes\r\n\r\n"))
    reply = gateway.request(method, "/any?a=1&b=%20&c")
    assert (reply.status, reply.header("x-answer"), reply.body) == (204, "yes", b"")
    assert upstream.seen("/any")[-1].method == method
    assert upstream.seen("/any")[-1].target == "/any?a=1&b=%20&c"


def test_stream_passes_event_by_event(gateway, upstream):
    """Each event is at the client before the upstream sends the next."""
    case = fixture("chat_stream_usage")
    gate = Gate()
    answer = case.answer()
    answer.gate = gate
    upstream.add("eventwise", answer)
    with gateway.socket(timeout=30) as sock:
        sock.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nx-case: eventwise\r\nconnection: close\r\ncontent-length: {len(case.request_body)}\r\n\r\n".encode() + case.request_body)
        data = b""
        for number, event in enumerate(answer.parts()):
            while event not in data:
                piece = sock.recv(65536)
                assert piece, f"closed before event {number}"
                data += piece
            data = b""
            gate.open()


class Upgrading(Server):
    """Switches protocols and then sends back whatever comes."""

    async def respond(self, request: Request, connection: Connection) -> bool:
        await connection.send(head(101, [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")]))
        with contextlib.suppress(ConnectionError):
            while data := await connection.reader.read(65536):
                await connection.send(data)
        return False


def test_upgrade_passes_through(start):
    server = Upgrading()
    try:
        gateway = start("--upstream", server.url)
        with gateway.socket(timeout=30) as sock:
            sock.sendall(b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            data = b""
            while b"\r\n\r\n" not in data:
                data += sock.recv(65536)
            assert data.startswith(b"HTTP/1.1 101")
            assert server.requests[0].header("upgrade") == "websocket"
            for message in (b"\x81\x05hello", b"\x00" * 100_000):
                sock.sendall(message)
                echoed = b""
                while len(echoed) < len(message):
                    echoed += sock.recv(65536)
                assert echoed == message
    finally:
        server.close()


def test_plugin_scopes(start, upstream):
    """The most specific plugin wins: route over service over global; a disabled one does not count."""
    gateway = start()
    gateway.api("POST", "/plugins", {"name": "ai-tracing", "config": {"environment": "global"}}, 201)
    for name in ("one", "two", "three"):
        gateway.serve(name, upstream.url, [f"/{name}"])
    gateway.api("POST", "/services/two/plugins", {"name": "ai-tracing", "config": {"environment": "service"}}, 201)
    gateway.api("POST", "/services/three/plugins", {"name": "ai-tracing", "config": {"environment": "service"}}, 201)
    gateway.api("POST", "/routes/three/plugins", {"name": "ai-tracing", "config": {"environment": "route"}}, 201)
    case = fixture("chat_plain")
    upstream.add(case.id, case.answer())
    for name, environment in (("one", "global"), ("two", "service"), ("three", "route")):
        reply = gateway.request("POST", f"/{name}{CHAT}", case.request_body, [*JSON, ("x-case", case.id), ("x-message-id", name)])
        assert reply.status == 200
        record = gateway.trace(name)
        assert (record["context"]["environment"], record["service"]) == (environment, name)


def test_custom_provider_by_configuration(start, upstream):
    """What people edited Lua for."""
    gateway = start()
    rules = [{"path": "/anthropic", "dialect": "openai_chat"}, {"name": "in-house", "path": "*/ask", "dialect": "openai_chat"}]
    gateway.serve("custom", upstream.url, plugin={"providers": rules})
    case = fixture("chat_plain")
    upstream.add(case.id, case.answer())
    for path, provider in (("/anthropic/v1/anything", "custom_provider"), ("/llm/ask", "in-house")):
        gateway.request("POST", path, case.request_body, [*JSON, ("x-case", case.id), ("x-message-id", provider)])
        record = gateway.trace(provider)
        assert (record["provider"], record["name"]) == (provider, path)
        assert record["response"]["text"] == case.expected["response"]["text"]


def test_prices_by_configuration(start, upstream):
    gateway = start()
    gateway.serve("priced", upstream.url, plugin={"prices": [{"model": "gpt-4o-*", "input": 10, "output": 100, "cached": 1}]})
    case = fixture("chat_plain")
    upstream.add(case.id, case.answer())
    gateway.play(case)
    cost = gateway.trace(case.id)["cost"]
    assert cost["input"] == pytest.approx((56 * 10 + 64 * 1) / 1e6)
    assert cost["output"] == pytest.approx(9 * 100 / 1e6)


def test_renamed_context_headers(start, upstream):
    gateway = start()
    gateway.serve("renamed", upstream.url, plugin={"context_headers": {"user_id": "X-Employee"}})
    case = fixture("chat_plain")
    upstream.add(case.id, case.answer())
    gateway.play(case, extra=[("X-Employee", "e-1"), ("X-User-Id", "ignored"), ("X-Session-Id", "s-1")])
    context = gateway.trace(case.id)["context"]
    assert (context["user_id"], context["session_id"]) == ("e-1", "s-1")


def test_admin_pages_and_tags(start, upstream):
    gateway = start()
    for number in range(25):
        gateway.api("POST", "/services", {"name": f"service-{number:02}", "url": upstream.url, "tags": ["all", f"group-{number % 2}"]}, 201)
    names, path = [], "/services?size=10"
    while path:
        page = gateway.api("GET", path)
        assert len(page["data"]) <= 10
        names += [service["name"] for service in page["data"]]
        path = page["next"]
    assert sorted(names) == [f"service-{number:02}" for number in range(25)]
    assert len(gateway.api("GET", "/services?tags=group-1&size=1000")["data"]) == 12
    put = gateway.api("PUT", "/services/made-by-put", {"url": upstream.url}, 200)
    assert put["name"] == "made-by-put"
    assert json.dumps(gateway.api("GET", f"/services/{put['id']}")) == json.dumps(put)
