"""What a receiver of OTLP metrics gets: every call counted once, in whatever state the receiver is."""

import json

import pytest
from fake_otlp import TOKEN, FakeOtlp
from gateway import QUEUE, free_port, until
from test_langfuse import send
from upstream import fixture

# Seconds between two sendings: short enough for a test.
OFTEN = 0.1
SIX = {
    "gen_ai.client.generation.choices", "gen_ai.client.operation.duration", "gen_ai.client.token.usage",
    "llm.openai.embeddings.vector_size", "gen_ai.server.time_to_first_token", "gen_ai.server.time_per_output_token",
}  # fmt: skip


def total(points, **attributes) -> float:
    """The sum of the counts (of a histogram) or values (of a counter) of points with these attributes."""
    wanted = {key.replace("__", "."): value for key, value in attributes.items()}
    points = [point for point in points if wanted.items() <= point.attributes.items()]
    return sum(point.value if point.count is None else point.count for point in points)


def test_all_six_metrics(through, upstream, otlp):
    gateway = through()
    for name in ("chat_plain", "chat_stream_usage", "chat_n2", "embeddings", "chat_error_429"):
        send(gateway, upstream, name)
    otlp.wait(lambda: len(otlp.spans()) == 5, what="five spans")
    assert gateway.stop() == 0
    (export,) = otlp.metrics
    assert export.path == "/api/v2/otlp/v1/metrics"
    assert export.headers["authorization"] == TOKEN
    assert {point.name for point in otlp.points()} == SIX
    # The path is Dynatrace's, which takes nothing else.
    assert {point.temporality for point in otlp.points()} == {"delta"}
    for point in otlp.points():
        assert point.resource["deployment.environment.name"] == "test"
        assert point.attributes["gen_ai.system"] == point.attributes["gen_ai.provider.name"]
        assert point.attributes["gen_ai.system"] in ("openai", "openai_compatible")
        assert point.attributes["server.address"] == "127.0.0.1" and point.attributes["server.port"] == upstream.port

    duration = otlp.points("gen_ai.client.operation.duration")
    assert total(duration) == 5 and total(duration, error__type="429") == 1
    assert total(duration, stream=True) == 1 and total(duration, gen_ai__operation__name="embeddings") == 1
    records = gateway_records(otlp)
    assert sum(point.value for point in duration) == pytest.approx(sum(records["duration"]), abs=1e-5)

    tokens = otlp.points("gen_ai.client.token.usage")
    for kind in ("input", "output"):
        of_kind = [point for point in tokens if point.attributes["gen_ai.token.type"] == kind]
        assert sum(point.value for point in of_kind) == sum(records[kind]) > 0
        assert sum(point.count for point in of_kind) == len(records[kind])
    choices = sum(len(json.loads(fixture(name).body)["choices"]) for name in ("chat_plain", "chat_n2"))
    assert total(otlp.points("gen_ai.client.generation.choices")) == choices + 1
    vector = len(json.loads(fixture("embeddings").body)["data"][0]["embedding"])
    assert total(otlp.points("llm.openai.embeddings.vector_size")) == vector
    assert total(otlp.points("gen_ai.server.time_to_first_token")) == 1


def gateway_records(otlp) -> dict:
    """What the spans of the same calls say."""
    spans = otlp.spans()

    def told(key: str) -> list:
        return [span.attributes[key] for span in spans if key in span.attributes]

    return {
        "duration": [span.end - span.start for span in spans],
        "input": told("gen_ai.usage.input_tokens"), "output": told("gen_ai.usage.output_tokens"),
    }  # fmt: skip


def test_differences_add_up_while_the_receiver_fails(through, upstream, otlp):
    otlp.metrics_mode = 503
    gateway = through(otlp_metrics_interval=OFTEN, sampling_ratio=0)
    for number in range(3):
        send(gateway, upstream, "chat_plain", f"call-{number}")
    otlp.wait(lambda: len(otlp.metrics) >= 2, what="two failures")
    otlp.metrics_mode = 200
    counted = lambda: total(otlp.points("gen_ai.client.operation.duration"))  # noqa: E731
    otlp.wait(lambda: counted() == 3, what="three calls")
    for number in range(4):
        send(gateway, upstream, "chat_plain", f"later-{number}")
    otlp.wait(lambda: counted() == 7, what="seven calls")
    assert gateway.stop() == 0
    assert counted() == 7, "each one once"
    assert not otlp.spans(), "calls that sampling leaves out are counted all the same"
    points = otlp.points("gen_ai.client.operation.duration")
    assert all(one.end <= next.start for one, next in zip(points, points[1:], strict=False)), "no time is covered twice"


def test_totals_for_everyone_else(start, upstream, otlp):
    gateway = start()
    config = {"otlp_endpoint": otlp.url, "otlp_traces": False, "otlp_metrics_interval": OFTEN, "queue": QUEUE}
    gateway.serve("ai", upstream.url, plugin=config)
    send(gateway, upstream, "chat_plain", "first")
    otlp.wait(lambda: total(otlp.points("gen_ai.client.operation.duration")) >= 2, what="the same total again")
    send(gateway, upstream, "chat_plain", "second")
    otlp.wait(lambda: otlp.points("gen_ai.client.operation.duration")[-1].count == 2, what="the new total")
    assert {point.temporality for point in otlp.points()} == {"cumulative"}
    assert len({(point.start, point.resource["service.instance.id"]) for point in otlp.points()}) == 1
    assert not otlp.exports, "no traces were asked for"


def test_each_convention_by_itself(start, upstream, otlp):
    gateway = start()
    for semconv in ("genai", "openllmetry"):
        config = {"otlp_endpoint": otlp.url, "otlp_semconv": semconv, "environment": semconv, "queue": QUEUE}
        gateway.serve(semconv, upstream.url, [f"/{semconv}"], plugin=config)
        case = fixture("chat_plain")
        upstream.add(case.id, case.answer())
        reply = gateway.request("POST", f"/{semconv}{case.path}", case.request_body, [*case.request_headers, ("x-case", case.id)])
        assert reply.status == 200
    assert gateway.stop() == 0
    found = {point.resource["deployment.environment.name"]: point for point in otlp.points("gen_ai.client.token.usage")}
    assert "gen_ai.system" not in found["genai"].attributes and "stream" not in found["genai"].attributes
    assert "gen_ai.provider.name" not in found["openllmetry"].attributes
    assert (found["genai"].unit, found["openllmetry"].unit) == ("{token}", "token")


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_receiver_without_metrics_is_told_of_once(through, upstream, otlp, status):
    otlp.metrics_mode = status
    gateway = through(otlp_metrics_interval=OFTEN)
    send(gateway, upstream, "chat_plain", "first")
    otlp.wait(lambda: otlp.metrics, what="metrics")
    until(lambda: "knows no metrics" in gateway.log(), what="a warning")
    # Other intervals pass while traces go through.
    for number in range(5):
        send(gateway, upstream, "chat_plain", f"call-{number}")
        otlp.wait(lambda: len(otlp.spans()) == number + 2, what="a span")
    assert len(otlp.metrics) == 1
    status_page = json.loads(gateway.request("GET", "/status", address=gateway.status).body)
    assert status_page["ai_tracing"]["export"]["metrics"][0]["failures"] == 1
    assert gateway.log().count("knows no metrics") == 1
    assert TOKEN.split()[1] not in gateway.log()


def test_what_is_refused_is_counted(through, upstream, otlp):
    otlp.next_metrics = ["reject", 400]
    gateway = through(otlp_metrics_interval=OFTEN)
    for number in (1, 2):
        send(gateway, upstream, "chat_plain", f"call-{number}")
        otlp.wait(lambda: len(otlp.metrics) == number, what="metrics")
    sent = sum(len(export.points) for export in otlp.metrics if export.status == 400)
    assert sent > 1, "the points of the second call"

    def refused() -> float:
        page = gateway.request("GET", "/metrics", address=gateway.status).body.decode()
        lines = [line for line in page.splitlines() if line.startswith("ai_tracing_otlp_metrics_rejected_total{")]
        return float(lines[0].rsplit(" ", 1)[1])

    until(lambda: refused() == 2 * sent, what="both refusals on the page")
    until(lambda: "lost data points: the receiver refused" in gateway.log(), what="a line about the refusal")


def test_a_receiver_that_comes_up_later(start, upstream):
    port = free_port()
    gateway = start()
    config = {"otlp_endpoint": f"http://127.0.0.1:{port}", "otlp_metrics_interval": OFTEN, "otlp_metrics_temporality": "delta"}
    gateway.serve("ai", upstream.url, plugin={**config, "queue": QUEUE})
    for number in range(5):
        send(gateway, upstream, "chat_plain", f"call-{number}")
    until(lambda: "does not take metrics, they are kept" in gateway.log(), what="a warning")
    back = FakeOtlp(port=port)
    try:
        back.wait(lambda: total(back.points("gen_ai.client.operation.duration")) == 5, what="five calls")
        back.check()
    finally:
        back.close()
