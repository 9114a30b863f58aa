"""Metrics: real calls through the gateway, read by Prometheus' own tools and by a real Prometheus server.

`promtool` and `prometheus` are Debian's, installed by scripts/bootstrap.sh.
"""

import contextlib
import json
import math
import re
import shutil
import signal
import socket
import subprocess
import textwrap
import threading
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from gateway import run, until
from upstream import ROOT, Answer, Gate, fixture, fixtures
from wire import head

DEPLOY = ROOT / "deploy"
CHAT = "/v1/chat/completions"
JSON = [("content-type", "application/json")]
# Everything that Kong's plugin can count.
PROMETHEUS = {"ai_metrics": True, "status_code_metrics": True, "latency_metrics": True, "bandwidth_metrics": True}
AI_LABELS = ["ai_provider", "ai_model", "cache_status", "vector_db", "embeddings_provider", "embeddings_model", "workspace", "request_mode"]

SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Page(dict):
    """A scrape: name -> [(labels, value)]."""

    def __init__(self, text: str):
        super().__init__()
        self.text = text
        for line in text.splitlines():
            if not line.startswith("#"):
                match = SAMPLE.match(line)
                assert match, line
                labels = dict(LABEL.findall(match["labels"] or ""))
                self.setdefault(match["name"], []).append((labels, float(match["value"])))

    def sum(self, metric: str, **wanted: str) -> float:
        """The sum over all label sets that have these labels."""
        return sum(value for labels, value in self.get(metric, []) if wanted.items() <= labels.items())


def scrape(gateway) -> Page:
    reply = gateway.request("GET", "/metrics", address=gateway.status)
    assert (reply.status, reply.header("content-type")) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return Page(reply.body.decode())


def counted(gateway, calls: int, metric: str = "kong_ai_llm_requests_total") -> Page:
    """Waits until so many calls are counted."""
    pages: list[Page] = []

    def enough():
        pages[:] = [scrape(gateway)]
        return pages[0].sum(metric) >= calls

    until(enough, what=lambda: f"{calls} calls in {metric}\n{pages[0].text}")
    return pages[0]


def chat(gateway, upstream, model: str, name: str = "chat_plain", headers=()):
    """A fixture's call with another model."""
    case = fixture(name)
    upstream.add(name, case.answer())
    body = {**json.loads(case.request_body), "model": model}
    reply = gateway.request("POST", case.path, json.dumps(body).encode(), [*JSON, ("x-case", name), *headers])
    assert reply.status == case.status


def hang_up(gateway, upstream):
    """A client that leaves in the middle of a stream."""
    gate = Gate()
    answer = fixture("chat_stream").answer()
    answer.gate = gate
    upstream.add("hang-up", answer)
    body = fixture("chat_stream").request_body
    with gateway.socket() as sock:
        sock.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: a\r\nx-case: hang-up\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        assert sock.recv(1)
    gate.open(1000)


def test_calls_are_counted_as_they_are_recorded(start, upstream):
    """Counts, tokens, cost and times on the page are the sums over the records."""
    gateway = start("--upstream", upstream.url)
    cases = fixtures()
    for case in cases:
        upstream.add(case.id, case.answer())
        gateway.play(case, extra=[("x-user-id", f"user-{case.id[:8]}"), ("x-session-id", case.id)])
    hang_up(gateway, upstream)
    page = counted(gateway, len(cases) + 1)
    records = gateway.traces(len(cases) + 1)
    assert len(records) == len(cases) + 1

    expected: dict = defaultdict(float)
    for record in records:
        key = (record["provider"], record["request"]["model"] or "", "stream" if record["stream"] else "oneshot")
        timing, usage = record["timing"], record["usage"]
        expected["requests_total", *key] += 1
        expected["cost_total", *key] += (record["cost"] or {}).get("total", 0)
        for name, kind in (("input", "prompt_tokens"), ("output", "completion_tokens"), ("total", "total_tokens")):
            expected["tokens_total", *key, kind] += usage[name] or 0
            expected["estimated_tokens_total", *key, kind] += (usage[name] or 0) * record["tokens_estimated"]
        for metric, value in (
            ("provider_latency_ms", timing["total_duration_ms"] - timing["gateway_ms"] if timing["upstream_ms"] is not None else None),
            ("time_to_first_token_ms", timing["time_to_first_token_ms"]),
            ("time_per_token_ms", timing["time_per_token_ms"]),
            ("gateway_overhead_ms", timing["gateway_ms"]),
        ):
            expected[f"{metric}_sum", *key] += value or 0
            expected[f"{metric}_count", *key] += value is not None
    shown = {
        (name.removeprefix("kong_ai_llm_"), labels["ai_provider"], labels["ai_model"], labels["request_mode"], *filter(None, [labels.get("token_type")])): value
        for name, samples in page.items()
        if name.startswith("kong_ai_llm_") and not name.endswith("_bucket") and "active" not in name and "errors" not in name
        for labels, value in samples
    }
    # Nothing that is 0 is shown, except the sum of times that were 0.
    wanted = {key: pytest.approx(value) for key, value in expected.items() if value or key in shown}
    assert shown == wanted

    kinds = Counter()
    for record in records:
        if record["end"] != "complete":
            kinds[record["end"]] += 1
        elif record["status"] >= 400:
            kinds[str(record["status"])] += 1
        elif record["error"]:
            kinds["provider_error"] += 1
    assert {"client_gone", "400", "429", "provider_error"} <= kinds.keys()
    assert {kind: page.sum("kong_ai_llm_errors_total", error_type=kind) for kind in kinds} == dict(kinds)
    assert page.sum("kong_ai_llm_errors_total") == kinds.total()

    users = {record["context"]["user_id"] for record in records} - {None}
    sessions = {record["context"]["session_id"] for record in records} - {None}
    assert page.sum("kong_ai_llm_active_users", window="1h") == pytest.approx(len(users), abs=1)
    assert page.sum("kong_ai_llm_active_sessions", window="1h") == pytest.approx(len(sessions), abs=1)
    for metric, samples in page.items():
        for labels, _ in samples:
            if metric.startswith("kong_ai_llm_") and "ai_provider" in labels:
                names = [name for name in labels if name not in ("token_type", "error_type", "le")]
                assert names == AI_LABELS, metric
    assert all(labels["workspace"] == "default" and labels["cache_status"] == "" for labels, _ in page["kong_ai_llm_requests_total"])
    buckets = [labels["le"] for labels, _ in page["kong_ai_llm_provider_latency_ms_bucket"]]
    assert buckets[:15] == "250 500 1000 1500 2000 2500 3000 3500 4000 4500 5000 10000 30000 60000 +Inf".split()

    # As in Kong, the Admin API has the page too.
    reply = gateway.request("GET", "/metrics", address=gateway.admin)
    assert (reply.status, Page(reply.body.decode()).keys()) == (200, page.keys())

    # The pipeline: what was offered was read, and delivered to the store.
    page = counted(gateway, len(records), "ai_tracing_store_rows")
    assert page.sum("ai_tracing_calls_offered_total") == page.sum("ai_tracing_records_total") == len(records)
    assert page.sum("ai_tracing_calls_dropped_total") == page.sum("ai_tracing_export_dropped_total") == 0
    assert page.sum("ai_tracing_export_delivered_total") == page.sum("ai_tracing_store_stored_total") == len(records)
    assert page.sum("process_resident_memory_bytes") == pytest.approx(gateway.memory("VmRSS"), rel=0.5)
    assert page.sum("process_open_fds") > 5 and page.sum("process_start_time_seconds") > 1.7e9
    # Without the plugin nothing is counted by route.
    assert not any(name.startswith(("kong_http", "kong_kong", "kong_bandwidth")) for name in page)


def test_the_prometheus_plugin_counts_services_and_routes(start, upstream):
    """Kong's plugin entity, through the Admin API: what it switches on is counted from then on, where it stands."""
    gateway = start()
    gateway.serve("llm", upstream.url, paths=["/v1"], plugin=None)
    gateway.api("PATCH", "/routes/llm", {"strip_path": False}, 200)
    gateway.api("POST", "/routes", {"name": "nowhere", "paths": ["/nowhere"]}, 201)
    schema = gateway.api("GET", "/schemas/plugins/prometheus", expect=200)
    config = next(field["config"] for field in schema["fields"] if "config" in field)
    switches = {name for field in config["fields"] for name in field}
    assert {"per_consumer", "status_code_metrics", "ai_metrics", "latency_metrics", "bandwidth_metrics", "upstream_health_metrics"} <= switches
    refused = gateway.api("POST", "/plugins", {"name": "prometheus", "config": {"statuscode_metrics": True}}, 400)
    assert refused["fields"] == {"config": {"statuscode_metrics": "unknown field"}}

    upstream.add("/v1/models", Answer(body=b'{"data": []}'))
    upstream.add("/v1/missing", Answer(404, body=b"{}"))
    get = lambda path: gateway.request("GET", path)
    assert get("/v1/models").status == 200
    plugin = gateway.api("POST", "/plugins", {"name": "prometheus", "config": {"status_code_metrics": True}}, 201)
    assert plugin["config"]["latency_metrics"] is False and plugin["config"]["ai_metrics"] is False
    assert [get(path).status for path in ("/v1/models", "/v1/models", "/v1/missing", "/nowhere", "/else")] == [200, 200, 404, 503, 404]
    page = counted(gateway, 4, "kong_http_requests_total")
    shown = {tuple(labels.items()): value for labels, value in page["kong_http_requests_total"]}
    line = lambda service, route, code, source: (("service", service), ("route", route), ("code", code), ("source", source), ("workspace", "default"), ("consumer", ""))
    assert shown == {line("llm", "llm", "200", "service"): 2, line("llm", "llm", "404", "service"): 1, line("", "nowhere", "503", "kong"): 1}
    assert not any("latency_ms" in name or "bandwidth" in name for name in page)

    gateway.api("PATCH", f"/plugins/{plugin['id']}", {"config": {"latency_metrics": True, "bandwidth_metrics": True}}, 200)
    reply = gateway.request("POST", "/v1/models", b"x" * 1000, JSON)
    page = counted(gateway, 1, "kong_request_latency_ms_count")
    for name in ("kong", "upstream", "request"):
        assert page.sum(f"kong_{name}_latency_ms_count", service="llm", route="llm") == 1
    assert page.sum("kong_kong_latency_ms_sum") + page.sum("kong_upstream_latency_ms_sum") <= page.sum("kong_request_latency_ms_sum")
    assert 1000 < page.sum("kong_bandwidth_bytes", direction="ingress") < 1500
    sent = sum(len(name) + len(value) + 4 for name, value in reply.headers) + len(reply.body)
    assert page.sum("kong_bandwidth_bytes", direction="egress") == pytest.approx(sent, abs=100)

    # A client that leaves before anything was answered is nginx's 499; a WebSocket counts with its handshake.
    upstream.add("/v1/silent", Answer(silent=True))
    with gateway.socket() as sock:
        sock.sendall(b"GET /v1/silent HTTP/1.1\r\nhost: a\r\n\r\n")
        upstream.wait(lambda: upstream.seen("/v1/silent"))
    upstream.add("/v1/socket", Answer(framing="raw", body=head(101, [("upgrade", "websocket"), ("connection", "Upgrade")])))
    with gateway.socket() as sock:
        sock.sendall(b"GET /v1/socket HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 101"
    page = counted(gateway, 7, "kong_http_requests_total")
    assert page.sum("kong_http_requests_total", code="499", source="kong") == 1
    assert page.sum("kong_http_requests_total", code="101", source="service") == 1

    # A plugin that is gone counts no more; what it counted stays.
    gateway.api("DELETE", f"/plugins/{plugin['id']}", expect=204)
    assert get("/v1/models").status == 200
    assert scrape(gateway).sum("kong_http_requests_total", code="200") == 3


def test_a_declarative_file_may_have_the_plugin(start, upstream, tmp_path):
    config = tmp_path / "kong.json"
    config.write_text(
        json.dumps({
            "_format_version": "3.0",
            "services": [{"name": "llm", "url": upstream.url, "routes": [{"name": "chat", "paths": ["/"]}]}],
            "plugins": [{"name": "ai-tracing"}, {"name": "prometheus", "config": {"status_code_metrics": True, "per_consumer": True}}],
        })
    )
    gateway = start("--config", str(config))
    chat(gateway, upstream, "gpt-4o")
    page = counted(gateway, 1)
    assert page.sum("kong_http_requests_total", service="llm", route="chat", code="200", source="service", consumer="") == 1


def test_label_sets_are_bounded(start, upstream):
    """A model is whatever a client writes: beyond the bound it is `other`, and counted as such."""
    gateway = start("--upstream", upstream.url, "--metrics-label-sets", "2")
    for index in range(5):
        chat(gateway, upstream, f'model "{index}"\\\n')
    page = counted(gateway, 5)
    counts = {labels["ai_model"]: value for labels, value in page["kong_ai_llm_requests_total"]}
    assert counts == {'model \\"0\\"\\\\\\n': 1, 'model \\"1\\"\\\\\\n': 1, "other": 3}
    assert page.sum("ai_tracing_metrics_folded_total") == 3
    promtool("check", "metrics", text=page.text)


def test_switches(start, upstream):
    gateway = start("--upstream", upstream.url, "--metrics-unprefixed", "--metrics-consumer")
    chat(gateway, upstream, "gpt-4o")
    page = counted(gateway, 1, "ai_llm_requests_total")
    assert not any(name.startswith("kong_ai") for name in page)
    assert [list(labels) for labels, _ in page["ai_llm_requests_total"]] == [[*AI_LABELS, "consumer"]]


def test_only_metrics_and_no_secrets(start, upstream, langfuse):
    """Destinations are told apart by their address; keys, users, sessions and content stand nowhere."""
    gateway = start()
    plugin = {
        "langfuse_enabled": True, "langfuse_public_key": "pk-lf-canary", "langfuse_secret_key": "sk-lf-canary",
        "langfuse_endpoint": langfuse.url, "queue": {"max_coalescing_delay": 0.05},
    }  # fmt: skip
    gateway.serve("llm", upstream.url, plugin=plugin)
    chat(gateway, upstream, "gpt-4o", headers=[("x-user-id", "user-canary"), ("authorization", "Bearer sk-canary")])
    page = until(lambda: (now := scrape(gateway)).sum("ai_tracing_export_delivered_total", exporter="langfuse") == 1 and now)
    assert page.sum("ai_tracing_export_delivered_total", destination=langfuse.url) == 1
    assert page.sum("ai_tracing_export_failing") == page.sum("ai_tracing_export_queued", exporter="langfuse") == 0
    assert "canary" not in page.text
    langfuse.mode = 500
    chat(gateway, upstream, "gpt-4o")
    page = until(lambda: (now := scrape(gateway)).sum("ai_tracing_export_failing", exporter="langfuse") == 1 and now)
    assert page.sum("ai_tracing_export_queued", exporter="langfuse") == 1
    assert page.sum("ai_tracing_export_retries_total", exporter="langfuse") >= 1
    langfuse.mode = "v4"
    until(lambda: scrape(gateway).sum("ai_tracing_export_delivered_total", exporter="langfuse") == 2)
    assert gateway.request("POST", "/metrics", b"", address=gateway.status).status == 405
    reply = gateway.request("HEAD", "/metrics", address=gateway.status)
    assert (reply.status, reply.body) == (200, b"") and int(reply.header("content-length")) > 1000


# --- Prometheus itself --------------------------------------------------------------------------------------------


def promtool(*args: str, text: str | None = None) -> str:
    """Runs promtool; fails when it does."""
    done = subprocess.run(["promtool", *args], input=text, capture_output=True, text=True, timeout=60)
    # 3: it can be read, and names are not as the linter likes them; see `test_promtool_reads_the_page`.
    assert done.returncode in ((0, 3) if args[:2] == ("check", "metrics") else (0,)), done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def everything(start_shared, upstream):
    """A gateway that counts all there is to count, and what makes it count."""
    gateway = start_shared()
    gateway.serve("llm", upstream.url, plugin={})
    gateway.api("POST", "/plugins", {"name": "prometheus", "config": PROMETHEUS}, 201)
    names = ("chat_plain", "chat_stream", "chat_stream_usage", "embeddings", "chat_error_429")
    for name in names:
        upstream.add(name, fixture(name).answer())

    def traffic():
        for name in names:
            gateway.play(fixture(name), extra=[("x-user-id", "ann"), ("x-session-id", "s-1")])

    traffic()
    return gateway, traffic


def test_promtool_reads_the_page(everything):
    """The format is right, and the linter complains of Kong's and of our millisecond names only."""
    gateway, _ = everything
    page = counted(gateway, 5)
    complaints = promtool("check", "metrics", text=page.text).splitlines()
    known = {
        'use base unit "seconds" instead of "milliseconds"',
        "metric names should not contain abbreviated units",
        'counter metrics should have "_total" suffix',
    }
    for complaint in filter(None, complaints):
        name, _, why = complaint.partition(" ")
        assert why in known and (name.endswith("_ms") or name == "kong_bandwidth_bytes"), complaint


def test_promtool_reads_the_rules():
    assert "SUCCESS" in promtool("check", "rules", str(DEPLOY / "prometheus/rules.yml"), str(DEPLOY / "prometheus/alerts.yml"))
    promtool("check", "config", str(DEPLOY / "prometheus/prometheus.yml"))
    # What they record, and when they alert.
    promtool("test", "rules", str(ROOT / "tests/prometheus/rules_test.yml"))


class Prometheus:
    """A real server that scrapes one gateway four times a second."""

    def __init__(self, folder: Path, target: str):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        for name in ("rules.yml", "alerts.yml"):
            shutil.copy(DEPLOY / "prometheus" / name, folder)
        config = (DEPLOY / "prometheus/prometheus.yml").read_text()
        config = config.replace("127.0.0.1:8100", target).replace("_interval: 15s", "_interval: 250ms")
        (folder / "prometheus.yml").write_text(config)
        self.log = folder / "log"
        command = [
            "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}", "--query.lookback-delta=1m",
        ]  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)

    def get(self, path: str, **query: str):
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]
        assert self.process.poll() is None, self.log.read_text()
        return None

    def query(self, expression: str) -> list[dict]:
        """The samples that are numbers."""
        data = self.get("/api/v1/query", query=expression)
        return [sample for sample in data["result"] if not math.isnan(float(sample["value"][1]))] if data else []

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture(scope="module")
def prometheus(everything, tmp_path_factory):
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), everything[0].status)
    yield server
    server.stop()


def answered(prometheus, traffic, expressions: dict[str, str]) -> None:
    """Waits, under traffic, until each query has data."""
    missing = dict(expressions)

    def all_there():
        traffic()
        for name, expression in list(missing.items()):
            if prometheus.query(expression):
                del missing[name]
        return not missing

    until(all_there, 90, lambda: f"data for {json.dumps(missing, indent=1)}\n{prometheus.log.read_text()[-3000:]}")


def test_prometheus_scrapes_the_gateway(everything, prometheus):
    gateway, traffic = everything
    answered(prometheus, traffic, {"up": 'up{job="ai-tracing"} == 1'})
    page = scrape(gateway)
    # What Prometheus holds is what stands on the page, type and help included.
    metadata = until(lambda: prometheus.get("/api/v1/metadata"), what="metadata")
    for line in page.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert [entry["type"] for entry in metadata[name]] == [kind], name
    stored = prometheus.query('{job="ai-tracing",__name__!~"up|scrape_.*|ALERTS.*|.*:.*"}')
    missing = set(page) - {sample["metric"]["__name__"] for sample in stored}
    assert not missing


def test_the_dashboards_queries_have_data(everything, prometheus):
    """Each query of each panel, with Grafana's variables filled in."""
    dashboard = json.loads((DEPLOY / "grafana/ai-tracing.json").read_text())
    expressions = {}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for variable, value in {"$__rate_interval": "30s", "$__range": "5m", "$job": ".*", "$instance": ".*", "$ai_provider": ".*", "$ai_model": ".*"}.items():
                expression = expression.replace(variable, value)
            assert "$" not in expression, expression
            expressions[f"{panel['title']} {target['refId']}"] = expression
    assert len(expressions) > 30
    variables = [variable["query"]["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    for query in variables:
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
        selector = re.sub(r"[$]\w+", ".*", selector)
        expressions[query] = f"count by ({label}) ({selector})"
    answered(prometheus, everything[1], expressions)


def test_the_recording_rules_have_data(everything, prometheus):
    recorded = re.findall(r"record: (\S+)", (DEPLOY / "prometheus/rules.yml").read_text())
    assert len(recorded) == 14
    answered(prometheus, everything[1], {name: name for name in recorded})
    ratio = prometheus.query("ai:kong_ai_llm_errors:ratio_rate5m")[0]["value"][1]
    assert 0.1 < float(ratio) < 0.3, "one call in five fails"
    groups = prometheus.get("/api/v1/rules")["groups"]
    assert all(rule["health"] == "ok" for group in groups for rule in group["rules"])


def test_the_manifests_annotate_the_status_port(tmp_path):
    """Dynatrace's annotations stand on the pods, and name the port that serves metrics; the configuration is valid."""
    manifest = (DEPLOY / "kubernetes/gateway.yaml").read_text()
    assert 'metrics.dynatrace.com/scrape: "true"' in manifest
    assert 'metrics.dynatrace.com/port: "8100"' in manifest
    assert "containerPort: 8100" in manifest
    config = tmp_path / "kong.yml"
    config.write_text(textwrap.dedent(manifest.split("kong.yml: |\n")[1].split("---")[0]))
    done = run("config", "parse", str(config))
    assert done.returncode == 0, done.stderr


def test_scrapes_and_calls_do_not_disturb_each_other(start, upstream):
    """Several scrapers at once while calls are counted: every page is whole, and counters never fall."""
    gateway = start("--upstream", upstream.url)
    over = threading.Event()
    failures: list[str] = []

    def watch():
        last = 0.0
        while not over.is_set():
            count = scrape(gateway).sum("kong_ai_llm_requests_total")
            if count < last:
                failures.append(f"{count} after {last}")
            last = count

    watchers = [threading.Thread(target=watch) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    try:
        for index in range(100):
            chat(gateway, upstream, f"model-{index % 7}")
        page = counted(gateway, 100)
    finally:
        over.set()
        for watcher in watchers:
            watcher.join()
    assert not failures
    assert page.sum("kong_ai_llm_requests_total") == 100
