"""An upstream that replays: each answer is the exact bytes that a test asked for, in the pieces it asked for.

A request picks its answer by the header `x-case`, else by the path. Recorded exchanges come from HAR files (a folder
named by `AI_TRACING_CORPUS`), the project's own from `tests/fixtures/*.json`.
"""

import asyncio
import base64
import json
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from wire import Connection, Request, Server, chunk, head

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
CORPUS = Path(os.environ.get("AI_TRACING_CORPUS") or ROOT.parent / "shared" / "corpus")

# Headers that describe a recording's framing on the wire, which is ours to choose.
FRAMING = {"content-length", "transfer-encoding", "content-encoding", "connection", "keep-alive", "trailer"}


class Gate:
    """Holds an answer back until the test lets the next piece through: order without sleeping."""

    def __init__(self):
        self._event = threading.Semaphore(0)

    def open(self, pieces: int = 1) -> None:
        """Lets further pieces through."""
        for _ in range(pieces):
            self._event.release()

    async def passed(self) -> None:
        """Returns when the next piece may go."""
        await asyncio.get_running_loop().run_in_executor(None, self._event.acquire, True, 30)


@dataclass
class Answer:
    """What the upstream says, byte for byte."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=lambda: [("content-type", "application/json")])
    body: bytes = b""
    # The pieces that the body is written in; each is one write and, in chunked framing, one chunk.
    pieces: list[bytes] | None = None
    # `length`, `chunked`, `close` (ends with the connection) or `raw` (`body` is all there is, head included).
    framing: str = "length"
    # A Content-Length that is not the truth.
    claimed_length: int | None = None
    # After so many pieces: `close` (FIN), `reset` (RST) or `hang` (neither says nor closes anything).
    misbehave: str | None = None
    after: int = 0
    # Held back before each piece after the first.
    gate: Gate | None = None
    # True: nothing at all is answered until the client has gone.
    silent: bool = False
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def parts(self) -> list[bytes]:
        return self.pieces if self.pieces is not None else [self.body] if self.body else []


class Upstream(Server):
    """Replays answers; see the module."""

    def __init__(self, host: str = "127.0.0.1"):
        self.cases: dict[str, Answer] = {}
        self.default: Callable[[Request], Answer] | None = None
        self.gone: list[str] = []
        self.sent: dict[str, int] = {}
        super().__init__(host)

    def add(self, case: str, answer: Answer) -> str:
        """Sets the answer of a case (a name, or a path that begins with `/`)."""
        self.cases[case] = answer
        return case

    def seen(self, case: str) -> list[Request]:
        """The requests that asked for a case."""
        return [request for request in self.requests if self.case_of(request) == case]

    def case_of(self, request: Request) -> str:
        return request.header("x-case") or request.path

    async def respond(self, request: Request, connection: Connection) -> bool:
        case = self.case_of(request)
        answer = self.cases.get(case) or (self.default(request) if self.default else None)
        if answer is None:
            answer = Answer(404, body=json.dumps({"error": {"message": f"no case {case}"}}).encode())
        try:
            return await self._play(answer, case, connection)
        except ConnectionError:
            self.gone.append(case)
            self.notify()
            return False

    async def _play(self, answer: Answer, case: str, connection: Connection) -> bool:
        if answer.silent:
            await connection.peer_gone()
            self.gone.append(case)
            self.notify()
            return False
        headers = list(answer.headers)
        if answer.framing == "chunked":
            headers.append(("transfer-encoding", "chunked"))
            if answer.trailers:
                headers.append(("trailer", ", ".join(name for name, _ in answer.trailers)))
        elif answer.framing == "length":
            length = answer.claimed_length if answer.claimed_length is not None else sum(map(len, answer.parts()))
            headers.append(("content-length", str(length)))
        elif answer.framing == "close":
            headers.append(("connection", "close"))
        if answer.framing != "raw":
            await connection.send(head(answer.status, headers))
        for number, piece in enumerate(answer.parts()):
            if answer.misbehave and number == answer.after:
                return await self._misbehave(answer, case, connection)
            if answer.gate and number:
                await answer.gate.passed()
            await connection.send(chunk(piece) if answer.framing == "chunked" else piece)
            self.sent[case] = number + 1
            self.notify()
            # One turn of the loop between pieces keeps them apart on the wire without a clock.
            await asyncio.sleep(0)
        if answer.misbehave:
            return await self._misbehave(answer, case, connection)
        if answer.framing == "chunked":
            trailers = "".join(f"{name}: {value}\r\n" for name, value in answer.trailers)
            await connection.send(b"0\r\n" + trailers.encode() + b"\r\n")
        return answer.framing in ("length", "chunked") and answer.claimed_length is None

    async def _misbehave(self, answer: Answer, case: str, connection: Connection) -> bool:
        if answer.misbehave == "reset":
            connection.reset()
        elif answer.misbehave == "hang":
            await connection.peer_gone()
            self.gone.append(case)
            self.notify()
        return False


# --- what is replayed ---------------------------------------------------------------------------------------------


@dataclass
class Case:
    """One exchange: what the client sends, what the upstream answers, what the record has to say."""

    id: str
    method: str
    path: str
    request_headers: list[tuple[str, str]]
    request_body: bytes
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    expected: dict
    host: str = ""

    @property
    def content_type(self) -> str:
        return next((value for name, value in self.headers if name.lower() == "content-type"), "")

    def answer(self, pieces: str = "events") -> Answer:
        """The upstream's answer, cut into pieces as `cut` does."""
        streamed = looks_streamed(self.body)
        return Answer(
            self.status,
            self.headers,
            pieces=list(cut(self.body, pieces if streamed or pieces != "events" else "whole")),
            framing="chunked" if streamed or pieces != "whole" else "length",
        )


def looks_streamed(body: bytes) -> bool:
    """True for bodies of several frames: SSE, NUL-delimited JSON."""
    return body.startswith((b"data:", b"event:", b":", b"id:")) or b"\n\ndata:" in body or b"\0" in body


def cut(body: bytes, how: str) -> Iterable[bytes]:
    """Cuts a body: `whole`, `events` (after each blank line or frame end), `bytes` (one by one), `odd` (prime-sized
    pieces, which cut through UTF-8 sequences and line ends alike)."""
    if how == "whole" or not body:
        return [body] if body else []
    if how == "bytes":
        return [body[i : i + 1] for i in range(len(body))]
    if how == "odd":
        pieces, at, sizes = [], 0, (1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31)
        while at < len(body):
            size = sizes[len(pieces) % len(sizes)]
            pieces.append(body[at : at + size])
            at += size
        return pieces
    if how == "events":
        for delimiter in (b"\r\n\r\n", b"\n\n", b"\0", b"\n"):
            if delimiter in body:
                parts = body.split(delimiter)
                pieces = [part + delimiter for part in parts[:-1]]
                return pieces + ([parts[-1]] if parts[-1] else [])
        return [body]
    raise ValueError(how)


def fixture(name: str) -> Case:
    """One of the project's own exchanges."""
    data = json.loads((FIXTURES / f"{name}.json").read_text())
    request, response = data["request"], data["response"]
    return Case(
        id=name,
        method=request.get("method", "POST"),
        path=request["path"],
        request_headers=[("content-type", "application/json")] + [tuple(h) for h in request.get("headers", [])],
        request_body=json.dumps(request["body"], ensure_ascii=False).encode(),
        status=response.get("status", 200),
        headers=[tuple(h) for h in response.get("headers", [["content-type", "application/json"]])],
        body=fixture_body(response),
        expected=data["expected"],
    )


def fixture_body(response: dict) -> bytes:
    """A response's bytes: `json`, `events` (SSE), `frames` (JSON values, each ended by `delimiter`) or `text`."""
    dump = lambda value: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if "events" in response:
        return "".join(f"data: {dump(event)}\n\n" for event in response["events"]).encode()
    if "frames" in response:
        return "".join(json.dumps(f, ensure_ascii=False) + response["delimiter"] for f in response["frames"]).encode()
    if "text" in response:
        return response["text"].encode()
    return json.dumps(response["json"], ensure_ascii=False).encode()


def fixtures() -> list[Case]:
    """All of the project's own exchanges."""
    return [fixture(path.stem) for path in sorted(FIXTURES.glob("*.json"))]


def corpus() -> list[Case]:
    """Recorded LLM calls; empty where there is no corpus."""
    expected_file = CORPUS / "expected-dev.jsonl"
    if not expected_file.exists():
        return []
    wanted = {}
    for line in expected_file.read_text().splitlines():
        record = json.loads(line)
        if record.get("detected"):
            wanted[record["id"]] = record
    cases = []
    for file in sorted({record["file"] for record in wanted.values()}):
        for entry in json.loads((CORPUS / "dev" / file).read_text())["log"]["entries"]:
            if entry["_id"] in wanted:
                cases.append(har_case(entry, wanted[entry["_id"]]))
    return cases


def har_case(entry: dict, expected: dict) -> Case:
    """A HAR 1.2 entry."""
    request, response = entry["request"], entry["response"]
    url = urlsplit(request["url"])
    content, post = response["content"], request.get("postData") or {}
    body = content.get("text", "")
    return Case(
        id=entry["_id"],
        method=request["method"],
        path=url.path + (f"?{url.query}" if url.query else ""),
        request_headers=[("content-type", post.get("mimeType") or "application/json")],
        request_body=post.get("text", "").encode("utf-8", "surrogatepass"),
        status=response["status"],
        headers=[(h["name"], h["value"]) for h in response["headers"] if h["name"].lower() not in FRAMING],
        body=base64.b64decode(body) if content.get("encoding") == "base64" else body.encode("utf-8", "surrogatepass"),
        expected=expected,
        host=url.hostname or "",
    )
