"""OTLP by gRPC, to gRPC's own server."""

import grpc
import pytest
from fake_otlp import TOKEN
from fake_otlp_grpc import FakeGrpcOtlp, certificate
from gateway import QUEUE, free_port, until
from test_langfuse import send
from test_otlp_metrics import OFTEN, SIX, total


@pytest.fixture
def otlp():
    """A receiver of the tests' own."""
    server = FakeGrpcOtlp()
    yield server
    server.close()
    server.check()


def plugin(otlp, **extra) -> dict:
    """A plugin configuration for a receiver."""
    return {
        "otlp_endpoint": otlp.url, "otlp_protocol": "grpc", "otlp_headers": {"Authorization": TOKEN}, "environment": "test",
        "queue": QUEUE, **extra,
    }  # fmt: skip


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_spans_and_metrics(start, upstream, tmp_path, secure):
    tls, trusted = certificate(tmp_path) if secure else (None, None)
    otlp = FakeGrpcOtlp(tls=tls)
    try:
        gateway = start(env={"SSL_CERT_FILE": str(trusted)} if secure else {})
        gateway.serve("ai", upstream.url, plugin=plugin(otlp))
        for name in ("chat_plain", "chat_stream_usage", "embeddings"):
            send(gateway, upstream, name)
        otlp.wait(lambda: len(otlp.spans()) == 3, what=lambda: f"three spans\n{gateway.log()[-2000:]}")
        assert {span.attributes["gen_ai.operation.name"] for span in otlp.spans()} == {"chat", "embeddings"}
        assert gateway.stop() == 0
        assert {point.name for point in otlp.points()} == SIX
        assert total(otlp.points("gen_ai.client.operation.duration")) == 3
        for export in [*otlp.exports, *otlp.metrics]:
            assert export.headers["authorization"] == TOKEN
            assert export.headers["user-agent"].startswith("ai-tracing/")
        otlp.check()
    finally:
        otlp.close()


def test_a_certificate_that_nobody_trusts_stops_it(start, upstream, tmp_path):
    otlp = FakeGrpcOtlp(tls=certificate(tmp_path)[0])
    try:
        gateway = start()
        gateway.serve("ai", upstream.url, plugin=plugin(otlp))
        send(gateway, upstream, "chat_plain")
        until(lambda: "does not take records: no connection" in gateway.log(), what="a warning")
        assert not otlp.exports
    finally:
        otlp.close()


@pytest.mark.parametrize(
    "code",
    ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"],
)
def test_trouble_ends_and_all_arrives(start, upstream, otlp, code):
    otlp.next = [(grpc.StatusCode[code], f"no, {TOKEN}"), (grpc.StatusCode[code], "retry")]
    gateway = start()
    gateway.serve("ai", upstream.url, plugin=plugin(otlp, otlp_metrics=False))
    for number in range(5):
        send(gateway, upstream, "chat_plain", f"call-{number}")
    otlp.wait(lambda: len(otlp.spans()) >= 5, what="five spans")
    assert len({span.id for span in otlp.spans()}) == len(otlp.spans()) == 5
    assert TOKEN.split()[1] not in gateway.log()
    assert f"gRPC {code}" in gateway.log()


def test_what_is_refused_is_not_sent_again(start, upstream, otlp):
    otlp.next = ["reject", grpc.StatusCode.INVALID_ARGUMENT]
    gateway = start()
    gateway.serve("ai", upstream.url, plugin=plugin(otlp, otlp_metrics=False))
    for number, name in enumerate(("first", "second", "third"), 1):
        send(gateway, upstream, "chat_plain", name)
        otlp.wait(lambda: len(otlp.exports) == number, what=name)
    assert len(otlp.spans()) == 1
    until(lambda: "refused 1 of 1 spans: too old" in gateway.log(), what="a line about the refusal")


def test_a_batch_that_is_too_long_is_cut(start, upstream, otlp):
    """The server takes 4 MiB and says so with RESOURCE_EXHAUSTED; nothing that long is sent to begin with."""
    gateway = start()
    queue = {**QUEUE, "max_coalescing_delay": 0.5}
    gateway.serve("ai", upstream.url, plugin=plugin(otlp, otlp_metrics=False, otlp_semconv="genai", max_body_size=8 << 20, queue=queue))
    for number in range(9):
        messages = [{"role": "user", "content": f"{number}" + "x" * 900_000}]
        send(gateway, upstream, "chat_plain", f"call-{number}", body={"model": "gpt-4o-mini", "messages": messages})
    otlp.wait(lambda: len(otlp.spans()) == 9, what="nine spans")
    assert len(otlp.exports) >= 3
    otlp.next = [(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (2 vs. 1)")]
    before = len(otlp.exports)
    for number in range(2):
        send(gateway, upstream, "chat_plain", f"small-{number}")
    otlp.wait(lambda: len(otlp.spans()) >= 10, what="what came after the refusal")
    assert any(export.status == "RESOURCE_EXHAUSTED" for export in otlp.exports[before:])


def test_a_server_without_metrics_is_told_of_once(start, upstream):
    otlp = FakeGrpcOtlp(metrics=False)
    try:
        gateway = start()
        gateway.serve("ai", upstream.url, plugin=plugin(otlp, otlp_metrics_interval=OFTEN))
        send(gateway, upstream, "chat_plain")
        until(lambda: "knows no metrics: gRPC UNIMPLEMENTED" in gateway.log(), what="a warning")
        otlp.wait(lambda: otlp.spans(), what="a span")
        otlp.check()
    finally:
        otlp.close()


def test_a_server_that_comes_up_later(start, upstream):
    port = free_port()
    gateway = start()
    config = {"otlp_endpoint": f"http://127.0.0.1:{port}", "otlp_protocol": "grpc", "otlp_metrics_interval": OFTEN, "queue": QUEUE}
    gateway.serve("ai", upstream.url, plugin=config)
    for number in range(5):
        send(gateway, upstream, "chat_plain", f"call-{number}")
    gateway.traces(5)
    back = FakeGrpcOtlp(port=port)
    try:
        back.wait(lambda: len(back.spans()) == 5, what="five spans")
        back.wait(lambda: back.points("gen_ai.client.operation.duration"), what="metrics")
        assert back.points("gen_ai.client.operation.duration")[0].count == 5
        back.check()
    finally:
        back.close()


def test_the_standard_variables(start, upstream, otlp):
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_HEADERS": "x-scope=a%20b"}
    gateway = start(env={**variables, "OTEL_METRIC_EXPORT_INTERVAL": "100"})
    gateway.serve("ai", upstream.url, plugin={"otlp_endpoint": "{vault://env/OTEL_EXPORTER_OTLP_ENDPOINT}", "queue": QUEUE})
    send(gateway, upstream, "chat_plain")
    otlp.wait(lambda: otlp.spans() and otlp.points(), what="a span and metrics")
    assert {export.headers["x-scope"] for export in [*otlp.exports, *otlp.metrics]} == {"a b"}
