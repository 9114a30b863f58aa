"""A receiver of OTLP traces and metrics of the tests' own: takes what PyPI `opentelemetry-proto` takes, and nothing else."""

import asyncio
import gzip
import json
from dataclasses import dataclass, field

from fake_langfuse import any_value
from gateway import QUEUE
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest, ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from wire import Connection, Request, Server, head

# Dynatrace's limit.
MAX_BODY = 8_000_000
TOKEN = "Api-Token dt0c01.canary-8c1e"


def plugin(otlp, **extra) -> dict:
    """A plugin configuration for a receiver."""
    return {
        "otlp_endpoint": f"{otlp.url}/api/v2/otlp", "otlp_headers": {"Authorization": TOKEN},
        "environment": "test", "queue": QUEUE, **extra,
    }  # fmt: skip


@dataclass
class Span:
    """One span with its resource and scope."""

    name: str
    id: str
    parent: str | None
    trace_id: str
    attributes: dict
    start: float
    end: float
    error: str | None
    resource: dict
    scope: str

    def json(self, key: str):
        """A JSON attribute, parsed."""
        return json.loads(self.attributes[key])


@dataclass
class Point:
    """One data point with its metric and resource. `value` is a counter's, or a histogram's sum."""

    name: str
    unit: str
    temporality: str
    attributes: dict
    start: int
    end: int
    value: float
    count: int | None
    buckets: list[int]
    bounds: list[float]
    resource: dict


@dataclass
class Export:
    """One request to the receiver."""

    path: str
    headers: dict[str, str]
    status: int | str
    spans: list[Span] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)


class Received:
    """What a receiver got."""

    def __init__(self):
        # Requests with traces and with metrics.
        self.exports: list[Export] = []
        self.metrics: list[Export] = []
        self.faults: list[str] = []

    def spans(self) -> list[Span]:
        """Every span that was accepted."""
        return [span for export in self.exports if export.status == 200 for span in export.spans]

    def points(self, name: str | None = None) -> list[Point]:
        """Every data point that was accepted, of one metric if it is named."""
        points = [point for export in self.metrics if export.status == 200 for point in export.points]
        return [point for point in points if name in (None, point.name)]

    def only(self) -> Span:
        """Waits for one span; that one."""
        self.wait(lambda: self.spans(), what="a span")
        (span,) = self.spans()
        return span

    def check(self) -> None:
        """Fails if any request was not what the protocol allows."""
        assert not self.faults, "\n".join(self.faults)


class FakeOtlp(Received, Server):
    """See the module. `mode` is a status for everything, `hang` (never an answer), or `reject` (a partial success);
    `metrics_mode` is the same for metrics, where it differs."""

    def __init__(self, port: int = 0):
        Received.__init__(self)
        self.mode: int | str = 200
        self.metrics_mode: int | str | None = None
        # Statuses for the next requests, before the mode counts again.
        self.next: list[int | str] = []
        self.next_metrics: list[int | str] = []
        self.retry_after: str | None = None
        Server.__init__(self, port=port)

    async def respond(self, request: Request, connection: Connection) -> bool:
        headers = {name.lower(): value for name, value in request.headers}
        export = Export(request.path, headers, 0)
        of_metrics = request.path.endswith("/v1/metrics")
        coming, mode = (self.next_metrics, self.metrics_mode or self.mode) if of_metrics else (self.next, self.mode)
        status = coming.pop(0) if coming else mode
        exports = self.metrics if of_metrics else self.exports
        try:
            body = inflated(request.body, headers)
            if of_metrics:
                export.points = parse_metrics(body)
            else:
                export.spans = parse(body)
        except Exception as fault:  # what cannot be parsed is the test's finding, whatever it is
            self.faults.append(f"{request.path}: {type(fault).__name__}: {fault}")
            status = 400
        answer = b""
        if status == "reject":
            status, answer = 200, refusal(export).SerializeToString()
            export.spans, export.points = [], []
        if status == "hang":
            exports.append(export)
            self.notify()
            await connection.peer_gone()
            return False
        export.status = status
        exports.append(export)
        self.notify()
        extra = [("retry-after", self.retry_after)] if status in (429, 503) and self.retry_after else []
        await connection.send(head(status, [("content-type", "application/x-protobuf"), ("content-length", str(len(answer))), *extra]) + answer)
        await asyncio.sleep(0)
        return True


def refusal(export: Export):
    """A partial success that takes nothing."""
    if export.points:
        response = ExportMetricsServiceResponse()
        response.partial_success.rejected_data_points = len(export.points)
    else:
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = len(export.spans)
    response.partial_success.error_message = "too old"
    return response


def inflated(body: bytes, headers: dict) -> bytes:
    """The message in a request's body."""
    assert headers.get("content-type") == "application/x-protobuf", headers.get("content-type")
    assert headers.get("content-encoding") == "gzip", headers.get("content-encoding")
    body = gzip.decompress(body)
    assert len(body) <= MAX_BODY, f"{len(body)} bytes"
    return body


def parse_metrics(body: bytes) -> list[Point]:
    """The data points of a request; raises what is wrong with it."""
    message = ExportMetricsServiceRequest()
    message.ParseFromString(body)
    found = []
    for group in message.resource_metrics:
        resource = {a.key: any_value(a.value) for a in group.resource.attributes}
        assert resource["service.name"] and resource["service.instance.id"]
        for scoped in group.scope_metrics:
            names = [metric.name for metric in scoped.metrics]
            assert len(names) == len(set(names)), "a metric stands twice"
            for metric in scoped.metrics:
                assert not len(UnknownFieldSet(metric)), "a field that the protocol does not have"
                assert metric.description and metric.unit
                data = getattr(metric, metric.WhichOneof("data"))
                temporality = AggregationTemporality.Name(data.aggregation_temporality).rsplit("_")[-1].lower()
                assert temporality in ("delta", "cumulative")
                identities = [tuple(sorted((a.key, str(any_value(a.value))) for a in point.attributes)) for point in data.data_points]
                assert len(identities) == len(set(identities)), "one identity stands twice"
                for point in data.data_points:
                    assert not len(UnknownFieldSet(point)), "a field that the protocol does not have"
                    assert 0 < point.start_time_unix_nano <= point.time_unix_nano
                    attributes = {a.key: any_value(a.value) for a in point.attributes}
                    assert not [key for key, value in attributes.items() if value is None or value == ""]
                    shared = (metric.name, metric.unit, temporality, attributes, point.start_time_unix_nano, point.time_unix_nano)
                    if metric.WhichOneof("data") == "sum":
                        assert data.is_monotonic and point.WhichOneof("value") == "as_int"
                        found.append(Point(*shared, point.as_int, None, [], [], resource))
                        continue
                    counts, bounds = list(point.bucket_counts), list(point.explicit_bounds)
                    assert sum(counts) == point.count > 0 and len(counts) == len(bounds) + 1 and bounds == sorted(bounds)
                    assert point.min <= point.sum / point.count <= point.max
                    found.append(Point(*shared, point.sum, point.count, counts, bounds, resource))
    return found


def parse(body: bytes) -> list[Span]:
    """The spans of a request; raises what is wrong with it."""
    message = ExportTraceServiceRequest()
    message.ParseFromString(body)
    found = []
    for group in message.resource_spans:
        resource = {a.key: any_value(a.value) for a in group.resource.attributes}
        for scoped in group.scope_spans:
            for span in scoped.spans:
                assert not len(UnknownFieldSet(span)), "a field that the protocol does not have"
                keys = [a.key for a in span.attributes]
                assert len(keys) == len(set(keys)), "a key stands twice"
                assert len(span.trace_id) == 16 and len(span.span_id) == 8 and len(span.parent_span_id) in (0, 8)
                assert any(span.trace_id) and any(span.span_id)
                assert span.kind == ProtoSpan.SPAN_KIND_CLIENT
                assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
                attributes = {a.key: any_value(a.value) for a in span.attributes}
                empty = [key for key, value in attributes.items() if value is None or value == "" or value == []]
                assert not empty, empty
                failed = span.status.code == Status.STATUS_CODE_ERROR
                found.append(
                    Span(
                        name=span.name,
                        id=span.span_id.hex(),
                        parent=span.parent_span_id.hex() or None,
                        trace_id=span.trace_id.hex(),
                        attributes=attributes,
                        start=span.start_time_unix_nano / 1e9,
                        end=span.end_time_unix_nano / 1e9,
                        error=span.status.message if failed else None,
                        resource=resource,
                        scope=scoped.scope.name,
                    )
                )
    return found
