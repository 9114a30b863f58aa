"""What every scenario needs: an upstream, a receiver that keeps books, a gateway in between, and clients."""

import http.client
import json
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from fault_receiver import FaultReceiver  # noqa: E402
from gateway import Gateway, until  # noqa: E402
from wire import Connection, Request, Server, head  # noqa: E402

# A request and its answer are 4 KiB together.
WORDS = "lorem ipsum dolor sit amet "
QUESTION = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": (WORDS * 80)[:1900]}]}).encode()
ANSWER = json.dumps({
    "id": "chatcmpl-chaos", "object": "chat.completion", "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": (WORDS * 80)[:1850]}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 480, "completion_tokens": 470, "total_tokens": 950},
}).encode()  # fmt: skip
# Kong's seconds; short pauses, so that a scenario waits for what it tests and not for a back-off.
QUEUE = {"max_coalescing_delay": 0.1, "initial_retry_delay": 0.05, "max_retry_delay": 0.5}


class Echo(Server):
    """An upstream with one answer."""

    remembers = False

    async def respond(self, request: Request, connection: Connection) -> bool:
        headers = [("content-type", "application/json"), ("content-length", str(len(ANSWER)))]
        await connection.send(head(200, headers) + ANSWER)
        return True


class Receiver(FaultReceiver):
    """A receiver for very many calls."""

    remembers = False


@dataclass
class Result:
    """What a scenario has found: its line in the report."""

    what: str
    figures: dict[str, str] = field(default_factory=dict)


class Stage:
    """Upstream, receiver, and gateways that are started, killed and started again on one data directory."""

    def __init__(self, folder: Path, seed: int = 1, **queue):
        self.folder, self.random = folder, random.Random(seed)
        self.upstream, self.receiver = Echo(), Receiver()
        self.data_dir = folder / "data"
        self.queue = {**QUEUE, **queue}
        self.gateways: list[Gateway] = []
        self.loads: list[Load] = []
        self.calls_before = 0

    def start(self, *args: str, env: dict | None = None, config: dict | None = None) -> Gateway:
        """A gateway on the data directory. The first one is configured; what follows finds its configuration there,
        unless it is told of a file."""
        first = "--config" not in args and not (self.data_dir / "config.db").exists()
        # Clients do not wait until it is ready.
        self.calls_before = self.ended()
        gateway = Gateway(self.folder / f"gateway-{len(self.gateways)}", *args, env=env, data_dir=self.data_dir)
        self.gateways.append(gateway)
        if first:
            gateway.serve("llm", self.upstream.url, plugin=self.plugin(**(config or {})))
        return gateway

    def plugin(self, **extra) -> dict:
        return {"otlp_endpoint": self.receiver.url, "otlp_metrics": False, "otlp_timeout": 2000, "log_level": "error", "queue": self.queue, **extra}

    def declaration(self) -> Path:
        """The same configuration as a file, for gateways that are to have no database."""
        file = self.folder / "kong.yml"
        plugin = {"name": "ai-tracing", "config": self.plugin()}
        service = {"name": "llm", "url": self.upstream.url, "routes": [{"name": "llm", "paths": ["/"], "strip_path": False}], "plugins": [plugin]}
        # JSON is YAML.
        file.write_text(json.dumps({"_format_version": "3.0", "services": [service]}))
        return file

    @property
    def gateway(self) -> Gateway:
        """The one that was started last."""
        return self.gateways[-1]

    def load(self, name: str, rate: float = 300, clients: int = 4, gateway: Gateway | None = None) -> "Load":
        """Clients that call until they are stopped; `name` begins the names of their calls."""
        def address() -> str:
            running = gateway or self.gateway
            # The port of one that was killed may be anybody's by now.
            if running.exit_code is not None:
                raise ConnectionRefusedError
            return running.proxy

        made = Load(name, address, rate, clients)
        self.loads.append(made)
        return made

    def calls(self, name: str, count: int, clients: int = 4, gateway: Gateway | None = None) -> set[str]:
        """So many calls, one after the other; their names."""
        load = self.load(name, 1e9, clients, gateway)
        until(lambda: len(load.ended) >= count or load.wrong, 120, lambda: f"{count} calls (have {len(load.ended)})")
        return load.stop()

    def ended(self) -> int:
        """How many calls have ended."""
        return sum(len(load.ended) for load in self.loads)

    def on_disk(self, calls: int | None = None) -> None:
        """Waits until the gateway that was started last has written so many calls: all that have ended, or `calls`
        counted from the beginning."""
        wanted = (self.ended() if calls is None else calls) - self.calls_before
        until(lambda: self.engine()["spool"]["appended"] >= wanted, what=lambda: f"{wanted} calls on disk: {self.engine()['spool']}")

    def engine(self, gateway: Gateway | None = None) -> dict:
        """What a gateway's status API says about export."""
        gateway = gateway or self.gateway
        return gateway.request("GET", "/status", address=gateway.status).json()["ai_tracing"]["export"]

    def destination(self, gateway: Gateway | None = None) -> dict:
        """Its counters of the receiver."""
        return next(d for d in self.engine(gateway)["destinations"] if d["name"].startswith("otlp"))

    def settled(self, timeout: float = 120, gateway: Gateway | None = None) -> dict:
        """Its counters once it is known of every call what became of it."""
        def known() -> bool:
            told = self.destination(gateway)
            sink = self.engine(gateway)["sink"]
            return not sink["waiting"] and told["offered"] == told["delivered"] + sum(told["dropped"].values())

        until(known, timeout, lambda: f"an empty queue: {self.destination(gateway)}")
        return self.destination(gateway)

    def segments(self) -> list[Path]:
        """The spool's segments, the oldest first."""
        return sorted(self.data_dir.glob("spool/w-*/*.seg"), key=lambda file: (file.parent.name, file.name))

    def unharmed(self) -> None:
        """Fails where a client got anything else than the upstream's answer."""
        for load in self.loads:
            assert not load.wrong, load.wrong[:3]

    def close(self) -> None:
        for load in self.loads:
            load.stop()
        for gateway in self.gateways:
            gateway.kill()
        self.receiver.close()
        self.upstream.close()


class Load:
    """Clients with kept connections. A connection that breaks is made again, to whichever gateway there is then."""

    def __init__(self, name: str, address, rate: float, clients: int):
        self.name, self.address, self.pause = name, address, clients / rate
        # By name of the call: when it began, and when its answer was complete.
        self.began: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.latencies: list[float] = []
        # Calls that a connection's end has cut off, and answers that were not the upstream's.
        self.cut = 0
        self.wrong: list[str] = []
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(number,), daemon=True) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> set[str]:
        """Ends the clients; the names of all calls that ended."""
        self._done.set()
        for thread in self._threads:
            thread.join(60)
        return set(self.ended)

    def between(self, start: float, end: float) -> set[str]:
        """The calls that began and ended between two moments. An answer may be read from a connection whose other end is
        dead already, so it is not enough that a call ended after a kill."""
        return {name for name, ended in list(self.ended.items()) if start < self.began[name] and ended < end}

    def percentiles(self) -> tuple[float, float]:
        """Median and 99th percentile of the latency, in ms."""
        ordered = sorted(self.latencies)
        return tuple(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 for share in (0.5, 0.99))

    def _client(self, client: int) -> None:
        number, connection = 0, None
        next_at = time.monotonic()
        while not self._done.is_set():
            name = f"{self.name}-{client}-{number}"
            number += 1
            try:
                if connection is None:
                    host, port = self.address().rsplit(":", 1)
                    connection = http.client.HTTPConnection(host, int(port), timeout=30)
                began = time.monotonic()
                headers = {"content-type": "application/json", "x-message-id": name}
                connection.request("POST", "/v1/chat/completions", QUESTION, headers)
                reply = connection.getresponse()
                body = reply.read()
            except (OSError, http.client.HTTPException):
                self.cut += 1
                if connection is not None:
                    connection.close()
                    connection = None
                self._done.wait(0.02)
                continue
            now = time.monotonic()
            self.latencies.append(now - began)
            self.began[name], self.ended[name] = began, now
            if (reply.status, body) != (200, ANSWER):
                self.wrong.append(f"{name}: {reply.status} {body[:200]!r}")
            next_at = max(next_at + self.pause, now - 1)
            if next_at > now:
                self._done.wait(next_at - now)
