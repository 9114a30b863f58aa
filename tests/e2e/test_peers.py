"""Receivers that others wrote take what we send, and show what the record says: an OpenTelemetry Collector, Phoenix."""

import json
import threading

import pytest
from fake_otlp import FakeOtlp
from gateway import QUEUE, until
from peers import COLLECTOR, PHOENIX, Collector, Phoenix
from upstream import fixture

CASES = ("chat_plain", "chat_tools_stream", "chat_n2", "embeddings", "completions", "chat_error_429")
# OTLP's SPAN_KIND_CLIENT.
CLIENT = 3


@pytest.fixture
def collector(tmp_path_factory):
    """A Collector that does not run yet."""
    assert COLLECTOR.exists(), f"{COLLECTOR} is not built: scripts/bootstrap.sh test"
    made = Collector(tmp_path_factory.mktemp("collector"), running=False)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory):
    assert PHOENIX.exists(), f"{PHOENIX} is not installed: scripts/bootstrap.sh test"
    made = Phoenix(tmp_path_factory.mktemp("phoenix"))
    yield made
    made.stop()


def play(gateway, upstream, path: str, name: str, message: str | None = None) -> None:
    """Sends a fixture's request below `path`; the client gets the upstream's bytes."""
    case = fixture(name)
    upstream.add(name, case.answer())
    headers = [*case.request_headers, ("x-case", name), ("x-message-id", message or name), ("x-user-id", "user-1"), ("x-session-id", "session-1")]
    reply = gateway.request("POST", path + case.path, case.request_body, headers)
    assert (reply.status, reply.body) == (case.status, case.body)


def told_by(record: dict) -> dict:
    """The attributes that a record has to lead to; what it does not know has to be absent."""
    usage, request, response = record["usage"], record["request"], record["response"]
    return {
        "ai_tracing.call_id": record["id"],
        "ai_tracing.message_id": record["context"]["message_id"],
        "user.id": "user-1",
        "http.response.status_code": record["status"],
        "gen_ai.request.model": request["model"],
        "gen_ai.response.model": response["model"],
        "gen_ai.response.id": response["id"],
        "gen_ai.usage.input_tokens": usage["input"],
        "gen_ai.usage.output_tokens": usage["output"],
        "llm.usage.total_tokens": usage["total"],
    }


# --- OpenTelemetry Collector ------------------------------------------------------------------------------------------


def test_the_collector_writes_what_the_record_says(start, upstream, collector):
    collector.start()
    gateway = start(env={"OTEL_SERVICE_NAME": "llm-gateway"})
    gateway.serve("ai", upstream.url, plugin={"otlp_endpoint": collector.url, "environment": "test", "queue": QUEUE})
    for name in CASES:
        play(gateway, upstream, "", name)
    spans = {span.attributes["ai_tracing.message_id"]: span for span in collector.wait(len(CASES))}
    assert set(spans) == set(CASES)
    for name, span in spans.items():
        record = gateway.trace(name)
        assert (span.trace_id, span.id, span.parent, span.kind) == (record["trace_id"], record["span_id"], None, CLIENT)
        assert (span.end - span.start) / 1e6 == pytest.approx(record["timing"]["total_duration_ms"], abs=1)
        assert span.resource["service.name"] == "llm-gateway"
        assert span.resource["deployment.environment.name"] == "test"
        expected = told_by(record)
        assert {key: span.attributes.get(key) for key in expected} == expected
        assert (span.error is not None) == (record["status"] >= 400)
    assert spans["chat_plain"].attributes["gen_ai.completion.0.content"] == "Bonjour le monde 🌍"
    calls = json.loads(spans["chat_tools_stream"].attributes["gen_ai.output.messages"])[0]["parts"]
    assert [call["arguments"] for call in calls] == [{"city": "Paris"}, {"city": "Zürich"}]


def test_the_collector_changes_nothing(start, upstream, collector):
    """Spans and metrics by HTTP and by gRPC: what it has written is, attribute by attribute, what a receiver of our own
    has parsed."""
    collector.start()
    own = FakeOtlp()
    ways = {"direct": (own.url, "http/protobuf"), "collected": (collector.url, "http/protobuf"), "called": (collector.grpc_url, "grpc")}
    try:
        gateway = start()
        for name, (endpoint, protocol) in ways.items():
            config = {"otlp_endpoint": endpoint, "otlp_protocol": protocol, "environment": name, "queue": QUEUE}
            gateway.serve(name, upstream.url, [f"/{name}"], plugin=config)
            for case in CASES:
                play(gateway, upstream, f"/{name}", case)
        collector.wait(2 * len(CASES))
        own.wait(lambda: len(own.spans()) == len(CASES), what="the spans that were sent directly")
        # The last of the metrics are sent now.
        assert gateway.stop() == 0
        until(lambda: {point.resource["deployment.environment.name"] for point in collector.points()} == {"collected", "called"}, what="metrics")
        own.check()
    finally:
        own.close()
    of = lambda things, name: [thing for thing in things if thing.resource["deployment.environment.name"] == name]

    def told(spans) -> dict:
        """What does not differ from call to call, nor from way to way."""
        changing = (
            "ai_tracing.call_id", "ai_tracing.service", "ai_tracing.route", "url.path", "gen_ai.server.", "gen_ai.response.time",
            "traceloop.association.properties.environment",
        )  # fmt: skip
        return {
            span.attributes["ai_tracing.message_id"]: (
                span.name, span.error, span.scope, {k: v for k, v in span.attributes.items() if not k.startswith(changing)}
            )
            for span in spans
        }  # fmt: skip

    def measured(points) -> list:
        """What was counted, without what a clock decides."""
        facts = lambda point: (point.name, point.unit, point.temporality, sorted(point.attributes.items(), key=str), point.count, point.bounds)
        return sorted(map(facts, points), key=str)

    assert len(told(own.spans())) == len(CASES)
    assert told(of(collector.spans(), "collected")) == told(of(collector.spans(), "called")) == told(own.spans())
    assert len(measured(own.points())) > 10
    assert measured(of(collector.points(), "collected")) == measured(of(collector.points(), "called")) == measured(own.points())


def test_a_collector_that_refuses_and_one_that_is_down(start, upstream, collector):
    """Down, then out of memory, then well: every call is there once."""
    gateway = start()
    gateway.serve("ai", upstream.url, plugin={"otlp_endpoint": collector.url, "queue": QUEUE})
    for number in range(5):
        play(gateway, upstream, "", "chat_plain", f"down-{number}")
    destination = lambda: next(d for d in export(gateway)["destinations"] if d["name"].startswith("otlp"))
    until(lambda: destination()["failing"], what="a failure while it is down")
    # It refuses all data once it uses more than this, which it does by merely running.
    collector.memory_mib = 1
    collector.start()
    until(lambda: "Refusing data" in collector.log(), what=lambda: f"a full memory\n{collector.log()[-2000:]}")
    for number in range(5):
        play(gateway, upstream, "", "chat_plain", f"refused-{number}")
    until(lambda: "503" in (destination()["failing"] or ""), what=lambda: f"a refusal: {destination()}\n{collector.log()[-2000:]}")
    collector.stop()
    before = [span.attributes["ai_tracing.message_id"] for span in collector.spans()]
    assert not [message for message in before if message.startswith("refused")]
    collector.memory_mib = 256
    collector.start()
    spans = collector.wait(10)
    assert len({span.id for span in spans}) == len(spans) == 10
    assert {span.attributes["ai_tracing.message_id"] for span in spans} == {f"{kind}-{n}" for kind in ("down", "refused") for n in range(5)}


def test_a_collector_that_restarts_under_load(start, upstream, collector):
    """It is stopped and started again in the middle, more than once; clients notice nothing, no call is missing."""
    collector.start()
    gateway = start()
    gateway.serve("ai", upstream.url, plugin={"otlp_endpoint": collector.url, "queue": QUEUE})
    failures: list[BaseException] = []
    sent: set[str] = set()
    done = threading.Event()

    def load(client: int) -> None:
        number = 0
        try:
            while not done.is_set():
                name = f"{client}-{number}"
                play(gateway, upstream, "", "chat_plain", name)
                sent.add(name)
                number += 1
                done.wait(0.01)
        except BaseException as failure:  # told in the test's own thread
            failures.append(failure)

    clients = [threading.Thread(target=load, args=(client,)) for client in range(3)]
    for client in clients:
        client.start()
    try:
        for _ in range(3):
            have, count = len(collector.spans()), len(sent)
            collector.stop()
            until(lambda: len(sent) > count + 20 or failures, what="calls while it is down")
            collector.start()
            until(lambda: len(collector.spans()) > have or failures, what="spans after it is back")
    finally:
        done.set()
        for client in clients:
            client.join(60)
    assert not failures, failures
    message = lambda span: span.attributes["ai_tracing.message_id"]
    until(lambda: {message(span) for span in collector.spans()} >= sent, what="all calls")
    # Once each, unless it had taken a batch and was stopped before it could say so.
    by_id: dict = {}
    for span in collector.spans():
        assert by_id.setdefault(span.id, span) == span, "the same bytes on a retry"
    assert sorted(message(span) for span in by_id.values()) == sorted(sent)


def export(gateway) -> dict:
    return gateway.request("GET", "/status", address=gateway.status).json()["ai_tracing"]["export"]


# --- Arize Phoenix ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen_by_phoenix(start_shared, upstream, phoenix):
    """The records of some calls and Phoenix's spans of them, by the name of the case."""
    gateway = start_shared()
    gateway.serve("ai", upstream.url, plugin={"otlp_endpoint": phoenix.url, "environment": "test", "queue": QUEUE})
    for name in CASES:
        play(gateway, upstream, "", name)
    spans = {span["attributes"]["ai_tracing.message_id"]: span for span in phoenix.wait(len(CASES))}
    return {name: (gateway.trace(name), spans[name]) for name in CASES}


def test_phoenix_keeps_ids_and_attributes(seen_by_phoenix):
    for record, span in seen_by_phoenix.values():
        assert (span["context"]["trace_id"], span["context"]["span_id"]) == (record["trace_id"], record["span_id"])
        assert span["status_code"] == ("ERROR" if record["status"] >= 400 else "UNSET")
        expected = told_by(record)
        assert {key: span["attributes"].get(key) for key in expected} == expected


def test_phoenix_understands_the_calls(seen_by_phoenix, phoenix):
    """Its own view, which it derives from OpenTelemetry's names: kind, model, tokens, messages, tools."""
    kinds = {name: span["span_kind"] for name, (_, span) in seen_by_phoenix.items()}
    assert kinds == {name: "EMBEDDING" if name == "embeddings" else "LLM" for name in CASES}
    record, span = seen_by_phoenix["chat_plain"]
    own = span["attributes"]
    body = json.loads(fixture("chat_plain").request_body)
    assert own["llm.model_name"] == record["request"]["model"]
    tokens = [own[f"llm.token_count.{kind}"] for kind in ("prompt", "completion", "total")]
    assert tokens == [record["usage"][kind] for kind in ("input", "output", "total")]
    for number, message in enumerate(body["messages"]):
        assert own[f"llm.input_messages.{number}.message.role"] == message["role"]
        assert own[f"llm.input_messages.{number}.message.content"] == message["content"]
    assert own["llm.output_messages.0.message.content"] == "Bonjour le monde 🌍"

    _, span = seen_by_phoenix["chat_tools_stream"]
    call = "llm.output_messages.0.message.tool_calls.1.tool_call"
    assert span["attributes"][f"{call}.id"] == "call_2"
    assert span["attributes"][f"{call}.function.name"] == "get_weather"
    assert json.loads(span["attributes"][f"{call}.function.arguments"]) == {"city": "Zürich"}
    assert json.loads(span["attributes"]["llm.tools.0.tool.json_schema"])["function"]["name"] == "get_weather"

    query = "{projects{edges{node{spans(first:50){edges{node{spanId tokenCountTotal statusMessage}}}}}}}"
    (project,) = phoenix.ask("/graphql", {"query": query})["data"]["projects"]["edges"]
    rows = {edge["node"]["spanId"]: edge["node"] for edge in project["node"]["spans"]["edges"]}
    assert rows[record["span_id"]]["tokenCountTotal"] == record["usage"]["total"]
    failed, _ = seen_by_phoenix["chat_error_429"]
    assert "Rate limit reached" in rows[failed["span_id"]]["statusMessage"]
