"""A receiver that fails in every way that a real one does, and keeps books of what it took.

It plays an OTLP receiver (`/v1/traces`) and Langfuse (its OTLP API and its batch API). What it does with a request is
decided by `plan` (one fault a request, used up), then by `fault`, or drawn by `storm` from a seed; `None` is health.

| fault | what happens | taken |
|---|---|---|
| `refuse` | nobody listens, and all connections are reset | no |
| `hang` | the request is read, no answer ever | no |
| `close`, `reset` | the request is read, then FIN or RST instead of an answer | no |
| `reset_answer` | half of the answer, then RST | yes, broken |
| `drip` | the answer comes byte by byte, slower than anybody waits | yes, broken |
| `garbage` | status 200 and bytes that mean nothing | yes, broken |
| `web_page` | status 200 and HTML, as a login page in between | no |
| `redirect` | 308 to another path, which counts as a stray when it is followed | no |
| `throttle` | 429 with `Retry-After: 1`; who comes back earlier is a finding | no |
| `partial` | OTLP: a warning beside success; batch API: every second call is put off (207) | all or half |
| `torn` | batch API: of every second call one event is taken, the rest put off (207) | half, half broken |
| `small` | 413 for more than one call | single ones |
| `poison` | 400 for a request in which `POISON` stands | others |
| a number | that status | no |

A call that was taken while the answer was broken, or late, may come again: nobody but the receiver knows. Everything else comes
once; `verdict` says where that does not hold.
"""

import asyncio
import gzip
import json
import random
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

from fake_langfuse import BATCH_PATH, OTLP_PATH, any_value, parse_otlp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from wire import Connection, Request, Server, head

# Where this stands in a call, `poison` refuses it.
POISON = "poison-canary-52d1"
TRACES_PATH = "/v1/traces"
# What a storm is made of; `refuse` and `throttle` take their time, so they come less often.
WEATHER = ["hang", "close", "reset", "reset_answer", "drip", "garbage", "web_page", "redirect", "partial", "torn", "small", 500, 503, 401, 404]
RETRY_AFTER = 1
# Seconds. On a busy machine an answer may come so late that the sender no longer waits for it, which only it knows: of
# calls that were answered later than this nothing is claimed. Senders have to wait twice as long at least.
LATE = 0.4


@dataclass
class Call:
    """One call as a request tells it: its id, the client's name for it, and the ids of its spans."""

    id: str
    message: str
    spans: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


@dataclass
class Taken:
    """How often a call was taken, with an answer that said so and with one that did not."""

    spans: set[tuple]
    clean: int = 0
    broken: int = 0


class FaultReceiver(Server):
    """See the module."""

    def __init__(self, port: int = 0):
        self.fault: str | int | None = None
        self.plan: list[str | int | None] = []
        self.taken: dict[str, Taken] = {}
        self.ids: dict[str, set[str]] = defaultdict(set)
        # How often each fault was met; `None` counts healthy answers.
        self.met: dict[str | int | None, int] = defaultdict(int)
        self.findings: list[str] = []
        self._storm: random.Random | None = None
        self._share = 0.0
        self._not_before = self._began = 0.0
        self._books = threading.Lock()
        super().__init__(port=port)

    # --- weather ---

    def break_down(self, fault: str | int) -> None:
        """From now on, this."""
        if fault == "refuse":
            self.call(self._refuse())
        self.fault = fault

    def storm(self, seed: int, share: float = 0.7) -> None:
        """From now on, a random fault for this share of the requests."""
        self._storm, self._share = random.Random(seed), share

    def heal(self) -> None:
        """From now on, health."""
        self.fault, self._storm = None, None
        self.plan.clear()
        if not self._server.is_serving():
            self._server = self.call(self._listen(self.port))

    async def _refuse(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()

    def _next_fault(self) -> str | int | None:
        if self.plan:
            return self.plan.pop(0)
        if self._storm:
            return self._storm.choice(WEATHER) if self._storm.random() < self._share else None
        return self.fault

    # --- books ---

    def messages(self) -> set[str]:
        """The client's names of all calls that were taken."""
        with self._books:
            return set(self.ids)

    def delivered(self, messages) -> None:
        """Waits until all of these were taken."""
        wanted = set(messages)
        self.wait(lambda: wanted <= self.messages(), what="all calls")

    def hit(self, fault, times: int = 1) -> None:
        """Waits until a fault was met so often."""
        self.wait(lambda: self.met[fault] >= times, what=f"{times} x {fault} (met: {dict(self.met)})")

    def repeated(self) -> int:
        """How many calls came again although they had been taken."""
        with self._books:
            return sum(taken.clean > 1 for taken in self.taken.values())

    def verdict(self, repeats: bool = False) -> list[str]:
        """Where calls did not come once, as the module says it. `repeats`: a sender that was killed may not know what
        was taken, and may send it again, the same."""
        with self._books:
            found = list(self.findings)
            if not repeats:
                found += [f"{id}: taken {taken.clean} times" for id, taken in self.taken.items() if taken.clean > 1]
            found += [f"{id}: came with different spans: {taken.spans}" for id, taken in self.taken.items() if len(taken.spans) > 1]
            found += [f"{message}: came with several ids: {ids}" for message, ids in self.ids.items() if len(ids) > 1]
            return found

    def _take(self, calls: list[Call], broken: bool = False) -> None:
        broken = broken or time.monotonic() - self._began > LATE
        with self._books:
            for call in calls:
                taken = self.taken.setdefault(call.id, Taken(set()))
                taken.spans.add(tuple(sorted(call.spans)))
                if broken:
                    taken.broken += 1
                else:
                    taken.clean += 1
                self.ids[call.message].add(call.id)

    # --- the server ---

    async def respond(self, request: Request, connection: Connection) -> bool:
        if request.path == "/elsewhere":
            self.findings.append("a redirect was followed")
        if not request.complete:
            return False
        if time.monotonic() < self._not_before:
            self.findings.append("came back before Retry-After")
        fault = self._next_fault()
        # Nothing is awaited from here until the calls are taken, so that this is this request's alone.
        self._began = time.monotonic()
        try:
            body = gzip.decompress(request.body) if request.header("content-encoding") == "gzip" else request.body
            batch = request.path == BATCH_PATH
            calls = batch_calls(body) if batch else otlp_calls(request, body)
        except Exception as wrong:  # what cannot be parsed is a finding, whatever it is
            self.findings.append(f"{request.path}: {type(wrong).__name__}: {wrong}")
            return await self._send(connection, 400)
        try:
            return await self._play(fault, calls, batch, body, connection)
        finally:
            self.met[fault] += 1
            self.notify()

    async def _play(self, fault, calls: list[Call], batch: bool, body: bytes, connection: Connection) -> bool:
        # A fault that means nothing here is health.
        if (fault == "torn" and not batch) or (fault == "small" and len(calls) == 1) or (fault == "poison" and POISON.encode() not in body):
            fault = None
        match fault:
            case None:
                self._take(calls)
                return await self._send(connection, *success(calls, batch))
            case int():
                return await self._send(connection, fault, b'{"message":"a fault"}', "application/json")
            case "hang":
                self.notify()
                await connection.peer_gone()
                return False
            case "close":
                return False
            case "reset":
                connection.reset()
                return False
            case "small":
                return await self._send(connection, 413)
            case "poison":
                return await self._send(connection, 400, b'{"message":"a record is ill-formed"}', "application/json")
            case "throttle":
                self._not_before = time.monotonic() + RETRY_AFTER
                return await self._send(connection, 429, extra=[("retry-after", str(RETRY_AFTER))])
            case "web_page":
                return await self._send(connection, 200, b"<!doctype html><title>Log in</title>", "text/html")
            case "redirect":
                return await self._send(connection, 308, extra=[("location", f"{self.url}/elsewhere")])
            case "garbage":
                self._take(calls, broken=True)
                return await self._send(connection, 200, b"\xff\x00{{{", "application/json")
            case "reset_answer":
                self._take(calls, broken=True)
                status, answer, kind = success(calls, batch)
                await connection.send(head(status, [("content-type", kind), ("content-length", str(len(answer) + 64))]) + answer[: len(answer) // 2])
                connection.reset()
                return False
            case "drip":
                self._take(calls, broken=True)
                status, answer, kind = success(calls, batch)
                for byte in head(status, [("content-type", kind), ("content-length", str(len(answer) + 4096))]) + answer + b" " * 4096:
                    await connection.send(bytes([byte]))
                    if connection.reader.at_eof():
                        break
                    await asyncio.sleep(0.05)
                return False
            case "partial":
                return await self._partial(calls, batch, connection)
            case "torn":
                return await self._torn(calls, connection)
        raise ValueError(fault)

    async def _partial(self, calls: list[Call], batch: bool, connection: Connection) -> bool:
        if not batch:
            self._take(calls)
            response = ExportTraceServiceResponse()
            response.partial_success.error_message = "some attributes were dropped"
            return await self._send(connection, 200, response.SerializeToString(), "application/x-protobuf")
        self._take(calls[::2])
        return await self._send(connection, *report([e for call in calls[::2] for e in call.events], [e for call in calls[1::2] for e in call.events]))

    async def _torn(self, calls: list[Call], connection: Connection) -> bool:
        self._take(calls[::2])
        self._take(calls[1::2], broken=True)
        taken = [event for call in calls[::2] for event in call.events] + [call.events[0] for call in calls[1::2]]
        return await self._send(connection, *report(taken, [event for call in calls[1::2] for event in call.events[1:]]))

    async def _send(self, connection: Connection, status: int, body: bytes = b"", kind: str = "text/plain", extra=()) -> bool:
        await connection.send(head(status, [("content-type", kind), ("content-length", str(len(body))), *extra]) + body)
        return True


def success(calls: list[Call], batch: bool) -> tuple[int, bytes, str]:
    """The answer of a receiver that took everything."""
    if batch:
        return report([event for call in calls for event in call.events], [])
    return 200, ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf"


def report(taken: list[str], put_off: list[str]) -> tuple[int, bytes, str]:
    """Langfuse's answer to a batch."""
    successes = ",".join(f'{{"id":"{id}","status":201}}' for id in taken)
    errors = ",".join(f'{{"id":"{id}","status":500,"message":"later","error":"later"}}' for id in put_off)
    return 207, f'{{"successes":[{successes}],"errors":[{errors}]}}'.encode(), "application/json"


def otlp_calls(request: Request, body: bytes) -> list[Call]:
    """The calls of an OTLP request, ours or Langfuse's."""
    if request.path == OTLP_PATH:
        return langfuse_calls(parse_otlp(body, request.header("content-type") or ""))
    if request.path != TRACES_PATH:
        raise ValueError("no such path")
    message = ExportTraceServiceRequest()
    message.ParseFromString(body)
    calls = []
    for group in message.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                told = {a.key: any_value(a.value) for a in span.attributes if a.key in ("ai_tracing.call_id", "ai_tracing.message_id")}
                calls.append(Call(told["ai_tracing.call_id"], told.get("ai_tracing.message_id", ""), [span.span_id.hex()]))
    return calls


def batch_calls(body: bytes) -> list[Call]:
    """The calls of a request to the batch API. Whether Langfuse takes its events is `fake_langfuse`'s question."""
    traces = defaultdict(list)
    for event in json.loads(body)["batch"]:
        own = event["body"]
        traces[own["id"] if event["type"] == "trace-create" else own["traceId"]].append(event)
    calls = []
    for events in traces.values():
        assert len(events) == 4, f"{len(events)} events of a call in one request"
        (told,) = [event["body"]["metadata"] for event in events if event["type"] == "span-create"]
        spans = [event["body"]["id"] for event in events if event["type"] != "trace-create"]
        calls.append(Call(told["call_id"], told.get("message_id", ""), spans, [event["id"] for event in events]))
    return calls


def langfuse_calls(spans: list) -> list[Call]:
    """Observations by trace; each call of the tests has a trace of its own."""
    traces = defaultdict(list)
    for span in spans:
        traces[span.trace_id].append(span)
    calls = []
    for observations in traces.values():
        assert len(observations) == 3, f"{len(observations)} observations of a call in one request"
        (root,) = [span for span in observations if span.type == "span"]
        told = {**root.trace_metadata(), **root.metadata()}
        calls.append(Call(told["call_id"], told.get("message_id", ""), [span.id for span in observations]))
    return calls
