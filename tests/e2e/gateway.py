"""The built binary as a process of its own: start, ready line, Admin API, traces, stop."""

import contextlib
import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from upstream import ROOT

BINARY = Path(
    os.environ.get("AI_TRACING_BIN")
    or Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug" / "ai-tracing"
)
LISTENERS = ("proxy", "admin", "status", "console")
# The plugin's `queue`, short enough for a test, in Kong's seconds.
QUEUE = {"max_coalescing_delay": 0.05, "initial_retry_delay": 0.05, "max_retry_delay": 0.2, "max_retry_time": 120}
START_TIMEOUT = 60
WAIT_TIMEOUT = 60


def environment(**extra: str) -> dict[str, str]:
    """The environment of the binary: nothing of the caller's own settings of the product."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AI_TRACING_", "LANGFUSE_", "OTEL_", "RUST_LOG"))}
    return {**kept, "NO_COLOR": "1", **extra}


def run(*args: str, timeout: float = 120, env: dict[str, str] | None = None, **kwargs) -> subprocess.CompletedProcess:
    """Runs the binary to its end."""
    return subprocess.run(
        [BINARY, *map(str, args)], capture_output=True, text=True, timeout=timeout, env=environment(**(env or {})), **kwargs
    )


def until(condition, timeout: float = WAIT_TIMEOUT, what: str = "condition"):
    """Asks again and again, bounded, until `condition()` is true; returns its value."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what() if callable(what) else what} not met within {timeout} s"
        pause.wait(0.02)


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Reply:
    """A response as it came over the wire; the body is not decompressed."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self):
        return json.loads(self.body)


class Proxy:
    """Something that clients send requests to, at `proxy` (`host:port`)."""

    proxy: str

    def request(self, method: str, path: str, body: bytes | None = None, headers=(), address: str | None = None, timeout: float = 60) -> Reply:
        """One request on a connection of its own, to the proxy unless told otherwise."""
        host, port = (address or self.proxy).rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True, skip_host=any(n.lower() == "host" for n, _ in headers))
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None and not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers):
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            return Reply(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def play(self, case, extra=(), **kwargs) -> Reply:
        """Sends a case's request through the proxy; `x-case` and `x-message-id` carry its id."""
        headers = [*case.request_headers, ("x-case", case.id), ("x-message-id", case.id), *extra]
        return self.request(case.method, case.path, case.request_body, headers, **kwargs)

    def socket(self, timeout: float = 60) -> socket.socket:
        """A raw connection to the proxy."""
        host, port = self.proxy.rsplit(":", 1)
        sock = socket.create_connection((host, int(port)), timeout=timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


class Gateway(Proxy):
    """One running `ai-tracing start`."""

    def __init__(self, folder: Path, *args: str, env: dict[str, str] | None = None, data_dir: Path | None = None, console: str = "127.0.0.1:0"):
        folder.mkdir(parents=True, exist_ok=True)
        self.data_dir = data_dir or folder / "data"
        self.stdout_path, self.stderr_path = folder / "stdout", folder / "stderr"
        self.args = [
            *("--proxy-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--status-listen", "127.0.0.1:0"),
            *("--console-listen", console),
            *("--data-dir", str(self.data_dir)),
            *map(str, args),
        ]
        self.exit_code: int | None = None
        self.terminated = False
        with self.stdout_path.open("ab") as out, self.stderr_path.open("ab") as err:
            self.process = subprocess.Popen([BINARY, "start", *self.args], stdout=out, stderr=err, env=environment(**(env or {})))
        try:
            self.ready = until(self._ready_line, START_TIMEOUT, lambda: f"the ready line\n{self.log()}")
        except BaseException:
            self.kill()
            raise
        self.proxy, self.admin, self.status, self.console = (self.ready[name] for name in LISTENERS)

    def _ready_line(self) -> dict | None:
        assert self.process.poll() is None, f"exited with {self.process.returncode} before it was ready\n{self.log()}"
        for line in self.stdout_path.read_text().splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if isinstance(record, dict) and (found := ready_addresses(record)):
                    return found
        return None

    # --- requests ---

    def api(self, method: str, path: str, body=None, expect: int | None = None):
        """An Admin API call with a JSON body; the parsed answer."""
        data = None if body is None else json.dumps(body).encode()
        reply = self.request(method, path, data, [("content-type", "application/json")], address=self.admin)
        if expect is not None:
            assert reply.status == expect, f"{method} {path}: {reply.status} {reply.body[:2000]!r}"
        return reply.json() if reply.body else None

    def serve(self, name: str, url: str, paths=("/",), plugin: dict | None = None, **service) -> dict:
        """A service with a route and, unless `plugin` is None, the ai-tracing plugin; returns the plugin."""
        self.api("POST", "/services", {"name": name, "url": url, **service}, 201)
        self.api("POST", f"/services/{name}/routes", {"name": name, "paths": list(paths), "strip_path": list(paths) != ["/"]}, 201)
        if plugin is None:
            return {}
        return self.api("POST", f"/services/{name}/plugins", {"name": "ai-tracing", "config": plugin}, 201)

    # --- what it knows ---

    def cli(self, *args: str, **kwargs) -> subprocess.CompletedProcess:
        """Another command of the binary on the same data."""
        return run(*args, "--data-dir", str(self.data_dir), **kwargs)

    def records(self) -> list[dict]:
        """All stored records."""
        done = self.cli("traces", "--format", "jsonl", "--limit", "100000")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def traces(self, count: int = 1, where=lambda record: True, timeout: float = WAIT_TIMEOUT) -> list[dict]:
        """Waits until `count` records meet `where`; those records."""
        found: list[dict] = []

        def enough():
            found[:] = [record for record in self.records() if where(record)]
            return len(found) >= count

        until(enough, timeout, lambda: f"{count} records (have {len(found)})\n{self.log()[-4000:]}")
        return found

    def trace(self, message_id: str, **kwargs) -> dict:
        """Waits for the one record of a case, by its message id."""
        records = self.traces(1, lambda record: record["context"]["message_id"] == message_id, **kwargs)
        assert len(records) == 1, f"{len(records)} records for {message_id}"
        return records[0]

    def log(self) -> str:
        """Everything that it has printed."""
        return self.stdout_path.read_text(errors="replace") + self.stderr_path.read_text(errors="replace")

    def memory(self, field: str = "VmHWM") -> int:
        """Resident memory in bytes: `VmHWM` (peak) or `VmRSS` (now)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        raise KeyError(field)

    def alive(self) -> None:
        """Fails unless the process runs and never panicked."""
        assert self.process.poll() is None, f"exited with {self.process.returncode}\n{self.log()[-4000:]}"
        assert "panicked" not in self.log(), self.log()[-4000:]

    # --- the end ---

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def terminate(self) -> None:
        """SIGTERM to this one process, once: a second one would make it stop without draining."""
        if not self.terminated and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.terminated = True

    def stop(self, timeout: float = 60) -> int:
        """SIGTERM to this one process; its exit code."""
        if self.exit_code is None:
            self.terminate()
            try:
                self.exit_code = self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"did not stop within {timeout} s of SIGTERM\n{self.log()[-4000:]}") from None
        return self.exit_code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.exit_code = self.process.returncode


def ready_addresses(record: dict) -> dict | None:
    """The bound addresses, `host:port`, of a ready line; `None` for any other line."""
    if record.get("event") != "ready":
        return None
    one = lambda value: value[0] if isinstance(value, list) else value
    return {name: one(record[name]) for name in LISTENERS}


def shell(command: str, timeout: float = 60) -> subprocess.CompletedProcess:
    """A command line in a real shell, as a person would type it."""
    return subprocess.run(["bash", "-c", "set -o pipefail; " + command], capture_output=True, text=True, timeout=timeout)


quote = shlex.quote
