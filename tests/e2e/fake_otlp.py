"""A receiver of OTLP traces of the tests' own: takes what PyPI `opentelemetry-proto` takes, and nothing else."""

import asyncio
import gzip
import json
from dataclasses import dataclass, field

from fake_langfuse import any_value
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from wire import Connection, Request, Server, head

# Dynatrace's limit.
MAX_BODY = 8_000_000


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
class Export:
    """One request to the receiver."""

    path: str
    headers: dict[str, str]
    status: int
    spans: list[Span] = field(default_factory=list)


class FakeOtlp(Server):
    """See the module. `mode` is a status for everything, `hang` (never an answer), or `reject` (a partial success)."""

    def __init__(self, port: int = 0):
        self.mode: int | str = 200
        # Statuses for the next requests, before `mode` counts again.
        self.next: list[int | str] = []
        self.retry_after: str | None = None
        self.exports: list[Export] = []
        self.faults: list[str] = []
        super().__init__(port=port)

    def spans(self) -> list[Span]:
        """Everything that was accepted."""
        return [span for export in self.exports if export.status == 200 for span in export.spans]

    def only(self) -> Span:
        """Waits for one span; that one."""
        self.wait(lambda: self.spans(), what="a span")
        (span,) = self.spans()
        return span

    def check(self) -> None:
        """Fails if any request was not what the protocol allows."""
        assert not self.faults, "\n".join(self.faults)

    async def respond(self, request: Request, connection: Connection) -> bool:
        headers = {name.lower(): value for name, value in request.headers}
        export = Export(request.path, headers, 0)
        status = self.next.pop(0) if self.next else self.mode
        try:
            export.spans = parse(request.body, headers)
        except Exception as fault:  # what cannot be parsed is the test's finding, whatever it is
            self.faults.append(f"{request.path}: {type(fault).__name__}: {fault}")
            status = 400
        answer = b""
        if status == "reject":
            status, response = 200, ExportTraceServiceResponse()
            response.partial_success.rejected_spans = len(export.spans)
            response.partial_success.error_message = "too old"
            answer, export.spans = response.SerializeToString(), []
        if status == "hang":
            self.exports.append(export)
            self.notify()
            await connection.peer_gone()
            return False
        export.status = status
        self.exports.append(export)
        self.notify()
        extra = [("retry-after", self.retry_after)] if status in (429, 503) and self.retry_after else []
        await connection.send(head(status, [("content-type", "application/x-protobuf"), ("content-length", str(len(answer))), *extra]) + answer)
        await asyncio.sleep(0)
        return True


def parse(body: bytes, headers: dict) -> list[Span]:
    """The spans of a request; raises what is wrong with it."""
    assert headers.get("content-type") == "application/x-protobuf", headers.get("content-type")
    assert headers.get("content-encoding") == "gzip", headers.get("content-encoding")
    body = gzip.decompress(body)
    assert len(body) <= MAX_BODY, f"{len(body)} bytes"
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
