"""A small HTTP/1.1 server on raw sockets: every byte that it sends is the test's own choice.

`Server` runs an asyncio loop in a thread of its own, reads requests, and hands each to `respond`, which writes to the
connection whatever it likes and says whether the connection may be used again. No HTTP library stands in between, so
wrong lengths, cut bodies, resets and odd chunkings are as easy as a correct answer.
"""

import asyncio
import contextlib
import hashlib
import socket
import struct
import threading
from dataclasses import dataclass, field

# Of a larger body only length and digest are kept, so that a test with 100 MB bodies stays small itself.
KEEP_BODY = 8 << 20
HEAD_LIMIT = 4 << 20


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    body_length: int = 0
    body_sha256: str = ""
    complete: bool = True
    connection: int = 0
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """The first value of a header, whatever its case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def path(self) -> str:
        return self.target.split("?", 1)[0]


class Connection:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int):
        self.reader, self.writer, self.number = reader, writer, number

    async def send(self, data: bytes) -> None:
        """Writes, and waits while the peer does not read."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Closes with a TCP reset instead of a FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def peer_gone(self) -> None:
        """Returns when the peer has closed its side."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


class Server:
    """A server on a port of the system's choice, in a thread of its own."""

    # False: requests are forgotten once they are answered, for runs with very many.
    remembers = True

    def __init__(self, host: str = "127.0.0.1", port: int = 0):
        self.host = host
        self.requests: list[Request] = []
        self.connections = 0
        # Requests whose head has come.
        self.begun = 0
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self.call(self._listen(port))
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._serve, self.host, port, limit=HEAD_LIMIT, backlog=1024)

    def call(self, coroutine):
        """Runs a coroutine on the server's loop and returns its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=60)

    def close(self) -> None:
        """Ends every connection and the thread."""

        async def end() -> None:
            self._server.close()
            # One turn for connections that were accepted and have no task yet.
            await asyncio.sleep(0)
            while tasks := list(self._tasks):
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        self.call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)

    def wait(self, condition, timeout: float = 60, what: str = "the server's condition"):
        """Waits until `condition()` is true, looked at after every request; returns its value."""
        with self._changed:
            value = self._changed.wait_for(condition, timeout)
        assert value, f"{what} was not met within {timeout} s; {len(self.requests)} requests seen"
        return value

    def notify(self) -> None:
        """Wakes those who wait."""
        with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        connection = Connection(reader, writer, self.connections)
        try:
            while (request := await read_request(connection, self._begin)) is not None:
                if self.remembers:
                    self.requests.append(request)
                    self.notify()
                if not await self.respond(request, connection):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self.notify()
            with contextlib.suppress(Exception):
                writer.close()

    def _begin(self) -> None:
        self.begun += 1
        self.notify()

    async def respond(self, request: Request, connection: Connection) -> bool:
        """Answers; true keeps the connection for the next request."""
        raise NotImplementedError


async def read_request(connection: Connection, begin=lambda: None) -> Request | None:
    """Reads one request; `None` when the peer has closed before one began. `begin` is called once its head is there."""
    reader = connection.reader
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    begin()
    lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, _version = lines[0].split(" ", 2)
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
    request = Request(method, target, headers, connection=connection.number)
    if (request.header("expect") or "").lower() == "100-continue":
        await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    digest, kept = hashlib.sha256(), bytearray()

    def take(piece: bytes) -> None:
        digest.update(piece)
        request.body_length += len(piece)
        if len(kept) < KEEP_BODY:
            kept.extend(piece[: KEEP_BODY - len(kept)])

    try:
        if "chunked" in (request.header("transfer-encoding") or "").lower():
            while size := int((await reader.readline()).split(b";")[0] or b"0", 16):
                take(await reader.readexactly(size))
                await reader.readexactly(2)
            while (line := await reader.readline()).strip():
                name, _, value = line.decode("latin-1").partition(":")
                request.trailers.append((name, value.strip()))
        else:
            left = int(request.header("content-length") or 0)
            while left:
                piece = await reader.read(min(left, 1 << 20))
                if not piece:
                    raise asyncio.IncompleteReadError(b"", left)
                take(piece)
                left -= len(piece)
    except (asyncio.IncompleteReadError, ConnectionError):
        request.complete = False
    request.body, request.body_sha256 = bytes(kept), digest.hexdigest()
    return request


def head(status: int, headers: list[tuple[str, str]], reason: str = "") -> bytes:
    """A response's head."""
    lines = [f"HTTP/1.1 {status} {reason}".rstrip() if reason else f"HTTP/1.1 {status} Status"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
