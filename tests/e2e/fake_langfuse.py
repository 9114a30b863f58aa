"""A Langfuse of the tests' own: takes OTLP and batches, checks them with parsers that this project did not write.

OTLP is parsed by PyPI `opentelemetry-proto`, the batch API by the pydantic models of PyPI `langfuse`. `mode` chooses
what kind of server it is; `Trace` is what a user would then see.
"""

import asyncio
import base64
import contextlib
import gzip
import json
from dataclasses import dataclass, field

from google.protobuf.json_format import Parse
from langfuse.api.ingestion.types.ingestion_event import IngestionEvent
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from langfuse.api.core.pydantic_utilities import parse_obj_as
from wire import Connection, Request, Server, head

OTLP_PATH = "/api/public/otel/v1/traces"
BATCH_PATH = "/api/public/ingestion"


@dataclass
class Span:
    """One observation, whichever API it came by."""

    id: str
    parent: str | None
    trace_id: str
    name: str
    type: str
    attributes: dict
    start: float = 0.0
    end: float = 0.0
    scope: str = ""
    resource: dict = field(default_factory=dict)

    def json(self, name: str):
        """A JSON attribute, parsed."""
        value = self.attributes.get(name)
        return json.loads(value) if isinstance(value, str) else value

    def metadata(self) -> dict:
        """The observation's metadata."""
        prefix = "langfuse.observation.metadata."
        found = {k[len(prefix) :]: v for k, v in self.attributes.items() if k.startswith(prefix)}
        whole = self.attributes.get("langfuse.observation.metadata")
        return {**(json.loads(whole) if isinstance(whole, str) else {}), **found}

    def trace_metadata(self) -> dict:
        prefix = "langfuse.trace.metadata."
        found = {k[len(prefix) :]: v for k, v in self.attributes.items() if k.startswith(prefix)}
        whole = self.attributes.get("langfuse.trace.metadata")
        return {**(json.loads(whole) if isinstance(whole, str) else {}), **found}


@dataclass
class Export:
    """One request to the server."""

    path: str
    project: str
    headers: dict[str, str]
    body: bytes
    answered: int
    spans: list[Span] = field(default_factory=list)
    events: list = field(default_factory=list)


class FakeLangfuse(Server):
    """See the module. `mode` is one of:

    - `v4`: OTLP is taken, the batch API answers 207 with "Event type not accepted" for each event;
    - `v3`: both are taken;
    - `v2`: there is no OTLP (404), the batch API is taken;
    - a number: that status for everything; `hang`: never an answer.
    """

    def __init__(self, mode: str | int = "v4", port: int = 0):
        self.mode = mode
        self.exports: list[Export] = []
        self.faults: list[str] = []
        # Statuses for the next requests, before `mode` counts again.
        self.next: list[int] = []
        self.retry_after: str | None = None
        super().__init__(port=port)

    # --- what has arrived ---

    def accepted(self) -> list[Export]:
        return [export for export in self.exports if export.answered in (200, 207)]

    def spans(self, project: str | None = None) -> list[Span]:
        """Every observation that was accepted."""
        return [s for export in self.accepted() if project in (None, export.project) for s in export.spans]

    def events(self) -> list:
        """Every event of the batch API that was accepted."""
        return [event for export in self.accepted() for event in export.events]

    def trace(self, name: str = "completion", where=lambda span: True, count: int = 1, timeout: float = 60) -> list[Span]:
        """Waits until `count` accepted observations are called `name` and meet `where`; those."""
        found = lambda: [span for span in self.spans() if span.name == name and where(span)]
        self.wait(lambda: len(found()) >= count, timeout, f"{count} x observation {name!r} (have {len(found())})")
        return found()

    def siblings(self, span: Span) -> list[Span]:
        """All observations of a span's trace."""
        return [other for other in self.spans() if other.trace_id == span.trace_id]

    def check(self) -> None:
        """Fails if any payload was not what the server's own models take."""
        assert not self.faults, "\n".join(self.faults)

    # --- the server ---

    async def respond(self, request: Request, connection: Connection) -> bool:
        headers = {name.lower(): value for name, value in request.headers}
        project = ""
        with contextlib.suppress(ValueError):
            project = base64.b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode()
        status, answer = self.next.pop(0) if self.next else self.mode, b"{}"
        if status == "hang":
            self.exports.append(Export(request.path, project, headers, request.body, 0))
            self.notify()
            await connection.peer_gone()
            return False
        body = request.body
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        export = Export(request.path, project, headers, body, 0)
        try:
            if request.path == OTLP_PATH:
                export.spans = parse_otlp(body, headers.get("content-type", ""))
                if status == "v2":
                    status, answer = 404, b'{"message":"Not Found"}'
                elif status in ("v3", "v4"):
                    status = 200
            elif request.path == BATCH_PATH:
                export.events, export.spans = parse_batch(body, headers)
                status, answer = self._batch_answer(status, export)
            else:
                status, answer = 404, b'{"message":"Not Found"}'
        except Exception as fault:  # what cannot be parsed is the test's finding, whatever it is
            self.faults.append(f"{request.path}: {type(fault).__name__}: {fault}")
            status = 400
        export.answered = status if status != 207 or b'"errors":[]' in answer.replace(b" ", b"") else 206
        self.exports.append(export)
        self.notify()
        extra = [("retry-after", self.retry_after)] if status == 429 and self.retry_after else []
        await connection.send(head(status, [("content-type", "application/json"), ("content-length", str(len(answer))), *extra]) + answer)
        await asyncio.sleep(0)
        return True

    def _batch_answer(self, mode: str | int, export: Export) -> tuple[int, bytes]:
        if isinstance(mode, int):
            return mode, b"{}"
        ids = [event.id for event in export.events]
        if mode == "v4":
            errors = [{"id": i, "status": 400, "message": "Event type not accepted", "error": "Event type not accepted"} for i in ids]
            return 207, json.dumps({"successes": [], "errors": errors}).encode()
        return 207, json.dumps({"successes": [{"id": i, "status": 201} for i in ids], "errors": []}).encode()


def parse_otlp(body: bytes, content_type: str) -> list[Span]:
    """The spans of an OTLP export, protobuf or JSON."""
    message = ExportTraceServiceRequest()
    if "protobuf" in content_type:
        message.ParseFromString(body)
    elif "json" in content_type:
        Parse(body, message)
    else:
        raise ValueError(f"content type {content_type!r}")
    spans = []
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                attributes = {a.key: any_value(a.value) for a in span.attributes}
                if len(span.trace_id) != 16 or len(span.span_id) != 8:
                    raise ValueError("ids of the wrong length")
                spans.append(
                    Span(
                        id=span.span_id.hex(),
                        parent=span.parent_span_id.hex() or None,
                        trace_id=span.trace_id.hex(),
                        name=span.name,
                        type=attributes.get("langfuse.observation.type", ""),
                        attributes=attributes,
                        start=span.start_time_unix_nano / 1e9,
                        end=span.end_time_unix_nano / 1e9,
                        scope=scope.scope.name,
                        resource={a.key: any_value(a.value) for a in resource.resource.attributes},
                    )
                )
    return spans


def any_value(value):
    """An OTLP AnyValue as a Python value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [any_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: any_value(item.value) for item in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


KINDS = {"span-create": "span", "event-create": "event", "generation-create": "generation"}


def parse_batch(body: bytes, headers: dict) -> tuple[list, list[Span]]:
    """The events of a batch, each taken by Langfuse's own model, and the observations among them."""
    if headers.get("content-encoding"):
        raise ValueError("the batch API takes no content encoding")
    if len(body) > 3_500_000:
        raise ValueError("more than 3.5 MB in one request")
    raw = json.loads(body)["batch"]
    events = [parse_obj_as(IngestionEvent, event) for event in raw]
    spans = []
    for event, source in zip(events, raw):
        if event.type in KINDS:
            spans.append(Span(event.body.id, event.body.parent_observation_id, event.body.trace_id, event.body.name, KINDS[event.type], source["body"]))
    return events, spans
