"""What only a real Kong has: its schema rules, Admin API, vaults, other plugins and HTTP/2 (AI_TRACING_KONG; see kong_process.py)."""

import json
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from gateway import free_port, until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from kong_process import REAL, Kong, plugin, service
from test_kong import ASK, CHAT, JSON, STREAM, Taker, ask, end_of, errors, finish, kong, trace_of  # noqa: F401 (a fixture)
from upstream import ROOT, Answer, cut, fixture

pytestmark = pytest.mark.skipif(not REAL, reason="no real Kong (AI_TRACING_KONG)")
CONFIGS = ROOT / "crates" / "config" / "tests" / "configs"


class Http:
    """One of Kong's APIs, on a port of its own."""

    def __init__(self):
        self.address = f"127.0.0.1:{free_port()}"

    def ask(self, method: str, path: str, body=None) -> tuple[int, str]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}{path}", data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture
def admin(kong, upstream):
    """The Admin API of a Kong that has a service without plugins."""
    api = Http()
    kong([service(upstream.url)], env={"KONG_ADMIN_LISTEN": api.address})
    return api


AI_PROXY, AI_METRICS = 3_006_000, 3_008_000  # the versions of Kong that brought them


@pytest.fixture(scope="module")
def since(tmp_path_factory):
    """Leaves a test out where Kong is older than what it is about."""
    made = Kong(tmp_path_factory.mktemp("version"), [])
    version = int(made.request("GET", "/.host/version").body)
    finish([made])

    def check(first: int) -> None:
        if version < first:
            pytest.skip(f"Kong has it from {first // 1_000_000}.{first // 1_000 % 1_000} on")

    return check


def configs(kind: str) -> list[Path]:
    return sorted((CONFIGS / kind).glob("*.json"))


def test_kong_accepts_and_refuses_what_the_engine_does(admin):
    """Kong's words differ here and there, and its place of an error in a map; never whether there is one, or in which parameter."""
    wrong = {}
    for path in configs("valid") + configs("invalid"):
        case = json.loads(path.read_text())
        status, text = admin.ask("POST", "/schemas/plugins/validate", {"name": "ai-tracing", "config": case["config"]})
        complaint = json.loads(text)
        if "errors" not in case:
            wrong[path.name] = status != 200 and text
            continue
        places = complaint.get("fields", {}).get("config", {})
        found = {name for name in places if name != "@entity"} if isinstance(places, dict) else {""}
        told = {re.split(r"[.\[]", name.removeprefix("config").removeprefix("."))[0] for name in case["errors"]}
        shape = (status, complaint.get("code"), complaint.get("name")) == (400, 2, "schema violation")
        # A configuration that is no record: Kong complains of its first element.
        wrong[path.name] = not (shape and (found == told or told == {""})) and (text, case["errors"])
    assert {name: what for name, what in wrong.items() if what} == {}


def test_the_documented_declaration_runs_as_it_is(kong, upstream, langfuse):
    """deploy/kong/kong.yml, with its keys in Kong's environment; only the addresses are those of the test."""
    text = (ROOT / "deploy" / "kong" / "kong.yml").read_text()
    text = text.replace("https://api.openai.com", upstream.url)
    text = text.replace("langfuse_enabled: true", f"langfuse_enabled: true\n          langfuse_endpoint: {langfuse.url}")
    api = Http()
    env = {"KONG_ADMIN_LISTEN": api.address, "LANGFUSE_PUBLIC_KEY": "pk-lf-vault", "LANGFUSE_SECRET_KEY": "sk-lf-vault"}
    made = kong([], env=env)
    status, told = api.ask("POST", "/config", {"config": text})
    assert status == 201, told
    upstream.add("declared", fixture("chat_plain").answer())
    until(lambda: ask(made, "declared").status == 200)
    assert langfuse.trace() and langfuse.accepted()[0].project == "pk-lf-vault:sk-lf-vault"
    assert "sk-lf-vault" not in made.log()


@pytest.mark.parametrize("name", ["chat_plain", "chat_stream_usage"])
def test_kong_s_prometheus_shows_the_numbers(since, kong, upstream, name):
    since(AI_METRICS)
    api = Http()
    made = kong(
        [service(upstream.url, plugin())],
        plugins=[{"name": "prometheus", "config": {"ai_metrics": True, "status_code_metrics": True}}],
        env={"KONG_STATUS_LISTEN": api.address},
    )
    upstream.add("shown", fixture(name).answer())
    for _ in range(3):
        assert ask(made, "shown", fixture(name).request_body).status == 200
    usage = fixture(name).expected["usage"]

    def values() -> dict[str, float]:
        lines = [line for line in api.ask("GET", "/metrics")[1].splitlines() if line.startswith("kong_ai_llm")]
        found: dict[str, float] = {}
        for line in lines:
            metric, labels, value = re.match(r"(\w+)\{(.*)\} (\S+)", line).groups()
            kind = re.search(r'token_type="(\w+)"', labels)
            if not metric.endswith("_bucket"):
                assert 'ai_model="gpt-4o-mini"' in labels, line
                found[f"{metric}.{kind.group(1)}" if kind else metric] = float(value)
        return found

    shown = until(lambda: (found := values()).get("kong_ai_llm_requests_total") == 3 and found)
    assert shown["kong_ai_llm_tokens_total.prompt_tokens"] == 3 * usage["input"]
    assert shown["kong_ai_llm_tokens_total.completion_tokens"] == 3 * usage["output"]
    assert shown["kong_ai_llm_tokens_total.total_tokens"] == 3 * usage["total"]
    assert shown["kong_ai_llm_cost_total"] > 0


class Keeper(Taker):
    """A receiver that takes everything and keeps it."""

    remembers = True


def test_kong_s_opentelemetry_joins_the_trace(kong, upstream, langfuse):
    """One trace: the caller's span, Kong's, ours, and what the upstream gets."""
    otlp = Keeper()
    try:
        made = kong(
            [service(upstream.url, plugin(langfuse.url), {"name": "opentelemetry", "config": {"endpoint": f"{otlp.url}/v1/traces", "queue": {"max_coalescing_delay": 0.1}}})],
            env={"KONG_TRACING_INSTRUMENTATIONS": "all", "KONG_TRACING_SAMPLING_RATE": "1"},
        )  # fmt: skip
        upstream.add("both", fixture("chat_plain").answer())
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        assert ask(made, "both", headers=[("traceparent", f"00-{trace}-00f067aa0ba902b7-01")]).status == 200
        ours = trace_of(langfuse, "both")
        sent = upstream.seen("both")[-1].header("traceparent").split("-")
        spans = lambda: [
            span for request in otlp.requests for group in ExportTraceServiceRequest.FromString(request.body).resource_spans
            for scoped in group.scope_spans for span in scoped.spans
        ]  # fmt: skip
        root = next(span for span in ours if span.name == CHAT)
        assert root.parent == "00f067aa0ba902b7"
        # Kong's first span is below ours; in Kong 3.4, its balancer's is. They may come one by one.
        otlp.wait(lambda: root.id in {span.parent_span_id.hex() for span in spans()})
        assert {span.trace_id for span in ours} == {span.trace_id.hex() for span in spans()} == {sent[1]} == {trace}
    finally:
        otlp.close()


@pytest.mark.parametrize(
    ("framing", "body", "end"),
    [("transfer-encoding: chunked", "zz\r\n", "rejected"), ("content-length: 99", "{", "client_gone")],
    ids=["no chunk", "cut"],
)
def test_a_body_that_nginx_does_not_get_ends_the_call(kong, upstream, langfuse, framing, body, end):
    """It goes to Kong's error page, or nowhere, out of the middle of our phase."""
    made = kong([service(upstream.url, plugin(langfuse.url))])
    with made.socket() as client:
        client.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: a\r\nx-message-id: broken\r\n{framing}\r\n\r\n{body}".encode())
        if end == "rejected":
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 400 ")
    assert end_of(langfuse, "broken") == end
    assert not upstream.seen("broken") and made.stats()["open"] == 0 and not errors(made)


def test_kong_that_proxies_tcp_as_well(kong, upstream, langfuse):
    """Kong loads all plugins for both."""
    made = kong([service(upstream.url, plugin(langfuse.url))], env={"KONG_STREAM_LISTEN": f"127.0.0.1:{free_port()}"})
    upstream.add("beside", fixture("chat_plain").answer())
    assert ask(made, "beside").status == 200
    assert trace_of(langfuse, "beside") and not errors(made)


@pytest.mark.parametrize("length", [True, False], ids=["with length", "without"])
def test_http_2(kong, upstream, langfuse, length, tmp_path):
    case = fixture("chat_stream_usage")
    upstream.add("two", Answer(headers=[STREAM], pieces=list(cut(case.body, "events")), framing="chunked"))
    made = kong([service(upstream.url, plugin(langfuse.url))])
    send = ["-d", ASK.decode()] if length else ["-X", "POST", "-T", "-"]
    done = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "-w", "\n%{http_version} %{http_code}", f"http://{made.http2}{CHAT}",
         "-H", "content-type: application/json", "-H", "x-case: two", "-H", "x-message-id: two", *send],
        input=ASK, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.rpartition(b"\n")[2] == b"2 200", done
    assert done.stdout.rpartition(b"\n")[0] == case.body
    told = json.dumps([span.attributes for span in trace_of(langfuse, "two")])
    assert end_of(langfuse, "two") == "complete" and "gpt-4o-mini-2024-07-18" in told
    assert "Hello" in told, told


@pytest.mark.parametrize("reports", [True, False], ids=["reporting", "silent"])
def test_with_ai_proxy_nothing_counts_twice(since, kong, upstream, langfuse, reports, tmp_path):
    """The call is traced, and one of the two tells Kong's log of it."""
    since(AI_PROXY)
    proxy = {
        "name": "ai-proxy",
        "config": {
            "route_type": "llm/v1/chat", "auth": {"header_name": "Authorization", "header_value": "Bearer sk-upstream"},
            "logging": {"log_statistics": reports},
            "model": {"provider": "openai", "name": "gpt-4o-mini", "options": {"upstream_url": f"{upstream.url}{CHAT}"}},
        },
    }  # fmt: skip
    file = tmp_path / "calls.jsonl"
    made = kong([service(upstream.url, plugin(langfuse.url), proxy)], plugins=[{"name": "file-log", "config": {"path": str(file)}}])
    upstream.add("proxied", fixture("chat_plain").answer())
    assert ask(made, "proxied").status == 200
    spans = trace_of(langfuse, "proxied")
    assert "sk-upstream" not in json.dumps([span.attributes for span in spans])
    lines = until(lambda: file.exists() and [line for line in file.read_text().splitlines() if CHAT in line])
    assert ["ai-tracing" in json.loads(line)["ai"] for line in lines] == [not reports]
    assert len(json.loads(lines[0])["ai"]) == 1


USAGE = {"input_tokens": 11, "output_tokens": 7}
CLAUDE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-3-5-haiku-20241022", "stop_sequence": None}
EVENTS = [
    {"type": "message_start", "message": {**CLAUDE, "content": [], "stop_reason": None, "usage": {"input_tokens": 11, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Bonjour"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_ai_proxy_translates(since, kong, upstream, langfuse, stream):
    """The client asks as OpenAI is asked; Anthropic answers, where the service itself points nowhere."""
    since(AI_PROXY)
    options = {"upstream_url": f"{upstream.url}/v1/messages", "anthropic_version": "2023-06-01", "max_tokens": 99}
    proxy = {
        "name": "ai-proxy",
        "config": {
            "route_type": "llm/v1/chat", "auth": {"header_name": "x-api-key", "header_value": "sk-upstream"},
            "model": {"provider": "anthropic", "name": "claude-3-5-haiku-20241022", "options": options},
        },
    }  # fmt: skip
    made = kong([service(f"http://127.0.0.1:{free_port()}", plugin(langfuse.url), proxy)])
    if stream:
        answer = Answer(headers=[STREAM], pieces=[b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in EVENTS], framing="chunked")
    else:
        whole = {**CLAUDE, "content": [{"type": "text", "text": "Bonjour"}], "stop_reason": "end_turn", "usage": USAGE}
        answer = Answer(headers=JSON, body=json.dumps(whole).encode())
    upstream.add("translated", answer)
    asked = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}], "stream": stream}
    reply = ask(made, "translated", json.dumps(asked).encode())
    assert reply.status == 200 and b"Bonjour" in reply.body and b"chat.completion" in reply.body
    spans = {span.name: span for span in trace_of(langfuse, "translated")}
    told = spans[CHAT].trace_metadata()
    assert (told["provider"], told["server_port"]) == ("anthropic", int(upstream.url.rsplit(":", 1)[1])), told
    completion = spans["completion"]
    usage = completion.json("langfuse.observation.usage_details")
    # Kong leaves the usage out of the streams that it translates.
    assert stream or (usage["input"], usage["output"]) == (11, 7), usage
    assert completion.metadata().get("tokens_estimated", False) is stream
    assert "Bonjour" in completion.attributes["langfuse.observation.output"]
    assert "Be brief." in spans["prompt"].attributes["langfuse.observation.input"]
