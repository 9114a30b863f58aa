"""Once a call has ended its trace survives: a killed process, a receiver that is down, a record that is refused, a disk
that is full. The long form of these tests is `make chaos`."""

import gzip
import http.client
import json
import os
import random
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_otlp import FakeOtlp
from gateway import until
from test_metrics import scrape
from upstream import fixture

CLIENTS = 4
# Short enough for a test. Memory has room for a few calls only: the others wait on disk.
QUEUE = {
    "max_batch_size": 10, "concurrency_limit": 3, "max_coalescing_delay": 0.05, "initial_retry_delay": 0.05, "max_retry_delay": 0.2,
    "max_entries": 20,
}  # fmt: skip
POISON = b"poison-canary-52d1"


class Receiver(FakeOtlp):
    """A receiver that is down (503) as long as `down`, and until it is `mended` refuses requests with a poisonous call."""

    down = mended = False

    async def respond(self, request, connection):
        self.mode = 503 if self.down else 400 if not self.mended and POISON in gzip.decompress(request.body) else 200
        return await super().respond(request, connection)

    def taken(self) -> dict[str, list[str]]:
        """The ids of the spans that were taken, by the client's name for the call."""
        found: dict[str, list[str]] = {}
        for span in self.spans():
            found.setdefault(span.attributes["ai_tracing.message_id"], []).append(span.id)
        return found


@pytest.fixture
def receiver():
    server = Receiver()
    yield server
    server.close()
    server.check()


@pytest.fixture
def serving(start, upstream, receiver, tmp_path):
    """Starts the gateway, again and again on the same data; the first time it is told where to send."""
    upstream.add("chat", fixture("chat_plain").answer())
    data = tmp_path / "data"
    state = {"configured": False}

    def begin(*args):
        gateway = start(*args, data_dir=data)
        if not state["configured"]:
            # This receiver takes traces.
            gateway.serve("ai", upstream.url, plugin={"otlp_endpoint": receiver.url, "otlp_metrics": False, "queue": QUEUE})
            state["configured"] = True
        return gateway

    return begin


class Load:
    """Clients that call as fast as they are answered; knows which calls have ended."""

    def __init__(self, gateway, prefix: str):
        self.ended: list[str] = []
        self.wrong: list[str] = []
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(CLIENTS)
        host, port = gateway.proxy.rsplit(":", 1)
        case = fixture("chat_plain")
        self._clients = [self._pool.submit(self._run, host, int(port), case, f"{prefix}-{client}") for client in range(CLIENTS)]

    def _run(self, host, port, case, name) -> None:
        connection = http.client.HTTPConnection(host, port, timeout=30)
        number = 0
        while not self._stop.is_set():
            number += 1
            headers = {"content-type": "application/json", "x-case": "chat", "x-message-id": f"{name}-{number}"}
            try:
                connection.request("POST", case.path, case.request_body, headers)
                reply = connection.getresponse()
                body = reply.read()
            except (OSError, http.client.HTTPException):
                return  # the gateway was killed
            self.ended.append(f"{name}-{number}")
            if (reply.status, body) != (case.status, case.body):
                self.wrong.append(f"{name}-{number}: {reply.status}")

    def stop(self) -> None:
        self._stop.set()
        for client in self._clients:
            client.result(60)
        self._pool.shutdown()
        assert not self.wrong, self.wrong[:5]


def call(gateway, message: str, content: str | None = None) -> None:
    """One call that has to be answered as the upstream says."""
    case = fixture("chat_plain")
    body = case.request_body
    if content is not None:
        body = json.dumps({**json.loads(body), "messages": [{"role": "user", "content": content}]}).encode()
    headers = [*case.request_headers, ("x-case", "chat"), ("x-message-id", message)]
    reply = gateway.request("POST", case.path, body, headers)
    assert (reply.status, reply.body) == (case.status, case.body)


def exporter(gateway, name: str = "otlp") -> dict:
    """What the status API says of a destination."""
    status = gateway.request("GET", "/status", address=gateway.status).json()
    (found,) = [it for it in status["ai_tracing"]["export"]["destinations"] if it["name"].split()[0] == name]
    return found


def test_a_killed_process_loses_nothing(serving, receiver):
    """What has reached the spool arrives. How soon that is, is measured by `make chaos`, with a load that leaves room."""
    seed = int(os.environ.get("AI_TRACING_SEED") or random.randrange(1 << 32))
    print(f"AI_TRACING_SEED={seed}")
    chance = random.Random(seed)
    kills = 4
    expected = set()
    for kill in range(kills):
        # Down now and then, so that some die with a backlog.
        receiver.down = chance.random() < 0.5
        gateway = serving()
        load = Load(gateway, f"kill-{kill}")
        count = chance.randrange(1, 300)
        until(lambda: len(load.ended) >= count, what=f"{count} calls")
        safe = load.ended[:]
        # They are written in the order in which they end; a client may hear of an end a little before the engine does.
        written = len(safe) + 3 * CLIENTS
        until(lambda: scrape(gateway).sum("ai_tracing_spool_records_total") >= written, what=f"{written} records")
        threading.Event().wait(chance.random() * 0.1)
        gateway.kill()
        load.stop()
        expected.update(safe)
    receiver.down = False
    gateway = serving()
    missing = lambda: expected - receiver.taken().keys()
    until(lambda: not missing(), what=lambda: f"{len(missing())} of {len(expected)} calls (seed {seed})")
    until(lambda: exporter(gateway)["waiting"] == 0, what="an empty queue")
    taken = receiver.taken()
    twice = {name: ids for name, ids in taken.items() if len(set(ids)) > 1}
    assert not twice, twice
    # Again come those alone whose answer the killed process did not live to see: what was under way at each kill.
    again = sum(len(ids) - 1 for ids in taken.values())
    assert again <= kills * QUEUE["max_batch_size"] * QUEUE["concurrency_limit"], again


def test_a_receiver_that_was_down_gets_everything_once(serving, receiver):
    receiver.down = True
    gateway = serving()
    names = {f"down-{number}" for number in range(300)}
    for name in sorted(names):
        call(gateway, name)
    until(lambda: exporter(gateway)["waiting"] == 300, what="300 that wait")
    waits = exporter(gateway)
    assert (waits["memory_only"], sum(waits["dropped"].values())) == (0, 0)
    assert waits["failing"].startswith("HTTP 503")
    # Neither a stop nor a start loses any.
    assert gateway.stop() == 0
    assert '"kept":300' in gateway.log() or "kept=300" in gateway.log(), gateway.log()[-2000:]
    gateway = serving()
    until(lambda: exporter(gateway)["recovered"] == 300, what="300 recovered")
    call(gateway, "up")
    receiver.down = False
    until(lambda: exporter(gateway)["delivered"] == 301, what="301 delivered")
    taken = receiver.taken()
    assert taken.keys() == names | {"up"} and all(len(ids) == 1 for ids in taken.values())
    page = scrape(gateway)
    assert page.sum("ai_tracing_export_recovered_total", exporter="otlp") == 300
    assert page.sum("ai_tracing_export_queued") == 0
    assert page.sum("ai_tracing_spool_memory_only_total") == page.sum("ai_tracing_spool_failing") == 0


def test_a_refused_call_costs_itself_alone(serving, receiver):
    receiver.down = True
    gateway = serving()
    for number in range(30):
        call(gateway, f"call-{number}", POISON.decode() if number == 17 else None)
    until(lambda: exporter(gateway)["waiting"] == 30, what="30 that wait")
    receiver.down = False
    until(lambda: exporter(gateway)["delivered"] == 29, what="29 delivered")
    until(lambda: exporter(gateway)["waiting"] == 0, what="an empty queue")
    otlp = exporter(gateway)
    assert (otlp["dropped"]["rejected"], otlp["dead_lettered"]) == (1, 1)
    assert receiver.taken().keys() == {f"call-{number}" for number in range(30)} - {"call-17"}
    letters = [json.loads(line) for file in (gateway.data_dir / "spool" / "dead").iterdir() for line in file.read_text().splitlines()]
    (letter,) = letters
    assert letter["record"]["context"]["message_id"] == "call-17"
    assert letter["why"].startswith("HTTP 400") and letter["label"] == otlp["name"]

    # A person looks at it, has the receiver mended, and sends it again.
    listed = gateway.cli("spool", "list")
    assert listed.returncode == 0 and "HTTP 400" in listed.stdout, listed
    assert gateway.stop() == 0
    receiver.mended = True
    assert gateway.cli("spool", "retry").returncode == 0
    gateway = serving()
    until(lambda: "call-17" in receiver.taken(), what="the call that was refused")
    assert all(len(ids) == 1 for ids in receiver.taken().values())
    assert "HTTP 400" not in gateway.cli("spool", "list").stdout


def test_without_a_spool_directory_calls_are_unharmed_and_traced(serving, receiver, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "spool").write_text("in the way")
    gateway = serving()
    for number in range(20):
        call(gateway, f"call-{number}")
    until(lambda: len(receiver.taken()) == 20, what="20 calls")
    spool = gateway.request("GET", "/status", address=gateway.status).json()["ai_tracing"]["export"]["spool"]
    assert spool["memory_only"] == 20 and "spool" in spool["failing"], spool
    assert "the spool does not work" in gateway.log()


def test_a_full_disk_harms_no_call_and_is_left_behind(serving, receiver, tmp_path):
    spool = tmp_path / "data" / "spool"
    spool.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", spool], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {mounted.stderr.strip()}")
    try:
        receiver.down = True
        gateway = serving()
        content = "x" * 8000
        sent = 0

        def failing():
            nonlocal sent
            call(gateway, f"full-{sent}", content)
            sent += 1
            return scrape(gateway).sum("ai_tracing_spool_failing") == 1

        until(failing, what="a full disk")
        for _ in range(40):
            failing()
        receiver.down = False
        until(lambda: exporter(gateway)["waiting"] == 0, what="an empty queue")
        # With room again the spool takes what comes.
        before = scrape(gateway).sum("ai_tracing_spool_records_total")
        until(lambda: not failing() and scrape(gateway).sum("ai_tracing_spool_records_total") > before, what="a spool that works")
        until(lambda: exporter(gateway)["waiting"] == 0, what="an empty queue")
        otlp = exporter(gateway)
        lost = sum(otlp["dropped"].values())
        assert otlp["offered"] == sent == otlp["delivered"] + lost and otlp["dropped"]["overflow"] == lost
        assert len(receiver.taken()) == otlp["delivered"]
        gateway.stop()
    finally:
        subprocess.run(["umount", "-l", spool], check=True)
