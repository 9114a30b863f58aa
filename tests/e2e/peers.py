"""Receivers that others wrote, as processes of their own: an OpenTelemetry Collector and Arize Phoenix.

`scripts/bootstrap.sh test` builds the one from Go modules (tests/collector) and installs the other from PyPI
(tests/phoenix.txt).
"""

import json
import os
import signal
import socket
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from fake_otlp import Point
from gateway import free_port, until
from upstream import ROOT

COLLECTOR = ROOT / "target" / "peers" / "collector"
PHOENIX = ROOT / "target" / "peers" / "phoenix" / "bin" / "phoenix"

COLLECTOR_CONFIG = """
receivers:
  otlp:
    protocols:
      http: {{endpoint: "127.0.0.1:{http}"}}
      grpc: {{endpoint: "127.0.0.1:{grpc}"}}
processors:
  memory_limiter: {{check_interval: 100ms, limit_mib: {memory}}}
exporters:
  file/traces: {{path: "{folder}/traces.jsonl", append: true, flush_interval: 50ms}}
  file/metrics: {{path: "{folder}/metrics.jsonl", append: true, flush_interval: 50ms}}
service:
  pipelines:
    traces: {{receivers: [otlp], processors: [memory_limiter], exporters: [file/traces]}}
    metrics: {{receivers: [otlp], processors: [memory_limiter], exporters: [file/metrics]}}
"""


def accepts(port: int) -> bool:
    """True when somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Peer:
    """A process that is ready once a port accepts."""

    def __init__(self, command: list, port: int, log: Path, env: dict | None = None):
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=log.parent, env={**os.environ, **(env or {})})
        try:
            # Phoenix makes its database first, which a busy machine takes its time for.
            until(lambda: self._alive() and accepts(port), 300, what=lambda: f"a listener\n{log.read_text()[-4000:]}")
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def _alive(self) -> bool:
        assert self.process.poll() is None, f"exited with {self.process.returncode}\n{self.log.read_text()[-4000:]}"
        return True

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends this one process."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)


@dataclass
class Span:
    """A span as OTLP's JSON writes it, its attributes as Python values."""

    name: str
    id: str
    trace_id: str
    parent: str | None
    kind: int
    start: int
    end: int
    error: str | None
    scope: str
    attributes: dict
    resource: dict


class Collector:
    """An OpenTelemetry Collector that writes what it takes to files. Its addresses stay over a restart."""

    def __init__(self, folder: Path, memory_mib: int = 256, running: bool = True):
        self.folder, self.http, self.grpc = folder, free_port(), free_port()
        self.url, self.grpc_url = f"http://127.0.0.1:{self.http}", f"http://127.0.0.1:{self.grpc}"
        self.memory_mib, self.peer = memory_mib, None
        self._read: dict[str, int] = {}
        self._spans: list[Span] = []
        self._points: list[Point] = []
        if running:
            self.start()

    def start(self) -> None:
        config = self.folder / "collector.yaml"
        config.write_text(COLLECTOR_CONFIG.format(http=self.http, grpc=self.grpc, memory=self.memory_mib, folder=self.folder))
        self.peer = Peer([COLLECTOR, "--config", config], self.http, self.folder / "collector.log")

    def stop(self) -> None:
        """Lets it write what it has taken and ends it."""
        if self.peer:
            self.peer.stop()

    def log(self) -> str:
        return (self.folder / "collector.log").read_text()

    def lines(self, signal_name: str) -> list[dict]:
        """What it has written of `traces` or `metrics` and was not read before: one export a line; of the last one only
        half may stand there yet."""
        file = self.folder / f"{signal_name}.jsonl"
        if not file.exists():
            return []
        with file.open("rb") as opened:
            opened.seek(self._read.get(signal_name, 0))
            data = opened.read()
        data = data[: data.rfind(b"\n") + 1]
        self._read[signal_name] = self._read.get(signal_name, 0) + len(data)
        return [json.loads(line) for line in data.splitlines()]

    def spans(self) -> list[Span]:
        """Every span that it has written."""
        for export in self.lines("traces"):
            for group in export["resourceSpans"]:
                resource = attributes(group["resource"])
                for scoped in group["scopeSpans"]:
                    self._spans += [span_of(span, scoped["scope"]["name"], resource) for span in scoped["spans"]]
        return self._spans

    def points(self) -> list[Point]:
        """Every data point of a metric that it has written."""
        for export in self.lines("metrics"):
            for group in export["resourceMetrics"]:
                resource = attributes(group["resource"])
                for metric in (metric for scoped in group["scopeMetrics"] for metric in scoped["metrics"]):
                    data = metric.get("sum") or metric["histogram"]
                    temporality = {1: "delta", 2: "cumulative"}[data["aggregationTemporality"]]
                    self._points += [point_of(point, metric, temporality, resource) for point in data["dataPoints"]]
        return self._points

    def wait(self, count: int) -> list[Span]:
        """Waits until it has written `count` spans; all of them."""
        until(lambda: len(self.spans()) >= count, what=lambda: f"{count} spans (have {len(self.spans())})\n{self.log()[-3000:]}")
        return self.spans()


def span_of(span: dict, scope: str, resource: dict) -> Span:
    status = span.get("status", {})
    return Span(
        name=span["name"], id=span["spanId"], trace_id=span["traceId"], parent=span.get("parentSpanId") or None, kind=span["kind"],
        start=int(span["startTimeUnixNano"]), end=int(span["endTimeUnixNano"]),
        error=status.get("message", "") if status.get("code") == 2 else None,
        scope=scope, attributes=attributes(span), resource=resource,
    )  # fmt: skip


def point_of(point: dict, metric: dict, temporality: str, resource: dict) -> Point:
    counter = "asInt" in point
    return Point(
        metric["name"], metric["unit"], temporality, attributes(point), int(point["startTimeUnixNano"]), int(point["timeUnixNano"]),
        int(point["asInt"]) if counter else point["sum"], None if counter else int(point["count"]),
        [int(count) for count in point.get("bucketCounts", [])], point.get("explicitBounds", []), resource,
    )  # fmt: skip


def attributes(of: dict) -> dict:
    return {entry["key"]: json_value(entry["value"]) for entry in of.get("attributes", [])}


def json_value(value: dict):
    """An AnyValue in OTLP's JSON as a Python value."""
    ((kind, inner),) = value.items()
    if kind == "intValue":
        return int(inner)
    if kind == "arrayValue":
        return [json_value(item) for item in inner.get("values", [])]
    if kind == "kvlistValue":
        return {item["key"]: json_value(item["value"]) for item in inner.get("values", [])}
    return inner


class Phoenix:
    """Arize Phoenix with a database of its own."""

    def __init__(self, folder: Path):
        self.folder, port = folder, free_port()
        self.url = f"http://127.0.0.1:{port}"
        env = {
            "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(free_port()),
            "PHOENIX_WORKING_DIR": str(folder), "PHOENIX_TELEMETRY_ENABLED": "false", "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
        }  # fmt: skip
        self.peer = Peer([PHOENIX, "serve"], port, folder / "phoenix.log", env)

    def stop(self) -> None:
        self.peer.stop()

    def ask(self, path: str, body: dict | None = None):
        """An API call; the parsed answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def spans(self) -> list[dict]:
        """The spans of its default project, as its REST API tells them."""
        return self.ask("/v1/projects/default/spans?limit=1000")["data"]

    def wait(self, count: int) -> list[dict]:
        """Waits until it shows `count` spans; all of them."""
        until(lambda: len(self.spans()) >= count, what=lambda: f"{count} spans\n{self.peer.log.read_text()[-3000:]}")
        return self.spans()
