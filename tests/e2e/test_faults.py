"""Whatever a receiver does, clients notice nothing, and once it is well again every call has arrived once."""

import threading

import pytest
from fault_receiver import POISON, FaultReceiver
from gateway import QUEUE, until
from test_langfuse import PUBLIC, SECRET
from upstream import fixture

KINDS = ("otlp", "langfuse", "langfuse_batch")
FAULTS = (
    "refuse", "hang", "close", "reset", "reset_answer", "drip", "garbage", "web_page", "redirect", "throttle", "partial", "torn", "small",
    401, 403, 404, 408, 500, 503,
)  # fmt: skip
# Milliseconds; see `fault_receiver.LATE`.
TIMEOUT = 1000
# After these a sender has to come again, so two of them show that it did; the others may be over with the first.
REPEATED = ("hang", "close", "reset", "web_page", "redirect", "throttle", 401, 403, 404, 408, 500, 503)


class Scene:
    """A receiver, a gateway that exports to it, and clients."""

    def __init__(self, kind: str, start, upstream, **queue):
        self.receiver, self.upstream, self.kind = FaultReceiver(), upstream, kind
        self.gateway = start()
        self.gateway.serve("ai", upstream.url, plugin={**self.destination(), "queue": {**QUEUE, **queue}})

    def destination(self) -> dict:
        if self.kind == "otlp":
            return {"otlp_endpoint": self.receiver.url, "otlp_timeout": TIMEOUT}
        return {
            "langfuse_enabled": True, "langfuse_public_key": PUBLIC, "langfuse_secret_key": SECRET, "langfuse_endpoint": self.receiver.url,
            "langfuse_timeout": TIMEOUT, "langfuse_api": "ingestion" if self.kind == "langfuse_batch" else "otlp",
        }  # fmt: skip

    def send(self, message: str, name: str = "chat_plain", extra=()) -> str:
        """One call; the client gets exactly what the upstream said."""
        case = fixture(name)
        self.upstream.add(name, case.answer())
        headers = [*case.request_headers, ("x-case", name), ("x-message-id", message), *extra]
        reply = self.gateway.request("POST", case.path, case.request_body, headers)
        assert (reply.status, reply.body) == (case.status, case.body)
        return message

    def counters(self) -> dict:
        """What the gateway says about the destination."""
        export = self.gateway.request("GET", "/status", address=self.gateway.status).json()["ai_tracing"]["export"]
        return next(d for d in export["destinations"] if d["name"].split()[0] == self.kind.split("_")[0])

    def settled(self) -> dict:
        """Its counters once it is known of every call what became of it."""
        known = lambda told: told["offered"] == told["delivered"] + sum(told["dropped"].values())
        until(lambda: known(self.counters()), what=lambda: f"an empty queue: {self.counters()}")
        return self.counters()


@pytest.fixture(scope="module", params=KINDS)
def shared(request, start_shared, upstream):
    """One scene of each kind for all tests that leave it as they found it."""
    scene = Scene(request.param, start_shared, upstream)
    yield scene
    scene.receiver.close()


@pytest.fixture(params=KINDS)
def scene(request, start, upstream):
    """A scene for one test."""
    made = Scene(request.param, start, upstream)
    yield made
    made.receiver.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_and_then_health(shared, fault):
    receiver = shared.receiver
    receiver.met.clear()
    receiver.break_down(fault)
    sent = [shared.send(f"{fault}-{number}") for number in range(6)]
    if fault == "refuse":
        until(lambda: "no connection" in (shared.counters()["failing"] or ""), what="a refused connection")
    else:
        receiver.hit(fault, 2 if fault in REPEATED else 1)
    sent += [shared.send(f"{fault}-{number}") for number in range(6, 9)]
    receiver.heal()
    receiver.delivered(sent)
    counters = shared.settled()
    assert receiver.verdict() == []
    assert counters["offered"] == counters["delivered"], counters
    assert counters["failing"] is None


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_storm(start, upstream, kind, seed):
    """Anything may happen to any request, while clients go on."""
    scene = Scene(kind, start, upstream, max_batch_size=5)
    receiver = scene.receiver
    receiver.storm(seed)
    sent: list[list[str]] = [[] for _ in range(3)]
    failures: list[BaseException] = []

    def client(number: int) -> None:
        try:
            for turn in range(40):
                sent[number].append(scene.send(f"{number}-{turn}", ("chat_plain", "chat_stream", "chat_tools")[turn % 3]))
        except BaseException as failure:  # told in the test's own thread
            failures.append(failure)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(3)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(60)
    assert not failures, failures
    receiver.wait(lambda: sum(receiver.met.values()) >= 12, what="some weather")
    receiver.heal()
    receiver.delivered(message for own in sent for message in own)
    counters = scene.settled()
    receiver.close()
    assert receiver.verdict() == [], f"seed {seed}"
    assert counters["offered"] == counters["delivered"] == 120, counters


def test_a_poisonous_call_takes_no_other_with_it(scene):
    receiver = scene.receiver
    receiver.break_down(503)
    poison = {7, 8, 31}
    for number in range(40):
        scene.send(f"call-{number}", extra=[("x-user-id", POISON if number in poison else "user-1")])
    receiver.hit(503, 1)
    receiver.break_down("poison")
    receiver.delivered(f"call-{number}" for number in range(40) if number not in poison)
    counters = scene.settled()
    assert receiver.messages().isdisjoint(f"call-{number}" for number in poison)
    assert receiver.verdict() == []
    assert (counters["delivered"], counters["dropped"]["rejected"], counters["dead_lettered"]) == (37, 3, 3), counters
    assert receiver.met["poison"] < 60, "the poison was looked for by halves, not one by one"


def test_one_receiver_in_trouble_holds_up_no_other(start, upstream):
    """Two destinations of one plugin: while the one hangs, the other gets everything."""
    well, ill = FaultReceiver(), FaultReceiver()
    ill.break_down("hang")
    try:
        gateway = start()
        langfuse = {"langfuse_enabled": True, "langfuse_public_key": PUBLIC, "langfuse_secret_key": SECRET, "langfuse_endpoint": ill.url}
        gateway.serve("ai", upstream.url, plugin={**langfuse, "langfuse_timeout": TIMEOUT, "langfuse_api": "otlp", "otlp_endpoint": well.url, "queue": QUEUE})
        case = fixture("chat_plain")
        upstream.add(case.id, case.answer())
        messages = [f"call-{number}" for number in range(20)]
        for message in messages:
            headers = [*case.request_headers, ("x-case", case.id), ("x-message-id", message)]
            assert gateway.request("POST", case.path, case.request_body, headers).body == case.body
        well.delivered(messages)
        assert ill.messages() == set()
        ill.heal()
        ill.delivered(messages)
        assert well.verdict() == ill.verdict() == []
    finally:
        well.close()
        ill.close()
