"""What a receiver of OTLP traces gets: one span for each call, once, whatever state the receiver is in."""

import base64
import json

import pytest
from fake_langfuse import parse_otlp
from fake_otlp import TOKEN, FakeOtlp, parse, plugin
from gateway import QUEUE, free_port, until
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, openai_attributes
from test_langfuse import everything, send
from test_langfuse import plugin as langfuse_plugin
from upstream import Answer, fixture

# --- the span ---------------------------------------------------------------------------------------------------------


def test_the_promised_span(through, upstream, otlp):
    gateway = through(env={"OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=pod-1", "OTEL_SERVICE_NAME": "llm-gateway"})
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    who = [("X-User-Id", "user-1"), ("X-Session-Id", "session-1"), ("X-Chat-Id", "chat-1"), ("X-Project-Id", "project-1")]
    send(gateway, upstream, "chat_plain", extra=[*who, ("traceparent", f"00-{trace}-{parent}-01")])
    span = otlp.only()
    (export,) = otlp.exports
    assert export.path == "/api/v2/otlp/v1/traces"
    assert export.headers["authorization"] == TOKEN
    assert span.resource["service.name"] == "llm-gateway"
    assert span.resource["k8s.pod.name"] == "pod-1"
    assert span.resource["deployment.environment.name"] == "test"
    assert span.resource["service.version"]

    record = gateway.trace("chat_plain")
    assert (span.trace_id, span.id, span.parent) == (trace, record["span_id"], parent)
    assert span.end - span.start == pytest.approx(record["timing"]["total_duration_ms"] / 1000, abs=0.001)
    assert (span.name, span.error) == ("chat gpt-4o-mini", None)

    body = json.loads(fixture("chat_plain").request_body)
    expected = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.system": "openai", "llm.request.type": "chat",
        "gen_ai.request.model": "gpt-4o-mini", "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.response.id": "chatcmpl-9a",
        "gen_ai.request.temperature": 0.7, "gen_ai.request.max_tokens": 50,
        "gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 9, "gen_ai.usage.cache_read.input_tokens": 64,
        "gen_ai.usage.prompt_tokens": 120, "gen_ai.usage.completion_tokens": 9, "llm.usage.total_tokens": 129,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": body["messages"][0]["content"],
        "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "Bonjour le monde 🌍", "gen_ai.completion.0.finish_reason": "stop",
        "gen_ai.conversation.id": "chat-1", "user.id": "user-1",
        "traceloop.association.properties.user_id": "user-1", "traceloop.association.properties.session_id": "session-1",
        "traceloop.association.properties.project_id": "project-1",
        "http.response.status_code": 200, "ai_tracing.call_id": record["id"],
    }  # fmt: skip
    assert {key: span.attributes.get(key) for key in expected} == expected
    assert span.attributes["server.address"] == "127.0.0.1"
    messages = span.json("gen_ai.input.messages")
    assert [message["role"] for message in messages] == [message["role"] for message in body["messages"]]
    assert messages[0]["parts"] == [{"type": "text", "content": body["messages"][0]["content"]}]
    assert span.json("gen_ai.output.messages") == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Bonjour le monde 🌍"}], "finish_reason": "stop"}
    ]


def test_names_are_those_of_the_official_package(through, upstream, otlp):
    """Every gen_ai.* and openai.* name that OpenTelemetry's convention alone brings is in PyPI's list of names."""
    gateway = through(otlp_semconv="genai")
    for name in ("chat_plain", "chat_tools_stream", "embeddings", "completions"):
        send(gateway, upstream, name)
    otlp.wait(lambda: len(otlp.spans()) == 4, what="four spans")
    known = {value for module in (gen_ai_attributes, openai_attributes) for value in vars(module).values() if isinstance(value, str)}
    # These two are metrics of the convention; a span carries what they measure.
    known |= {"gen_ai.server.time_to_first_token", "gen_ai.server.time_per_output_token"}
    for span in otlp.spans():
        assert {key for key in span.attributes if key.startswith(("gen_ai.", "openai."))} <= known
        assert not [key for key in span.attributes if key.startswith(("llm.", "traceloop."))]


def test_a_stream_with_tools(through, upstream, otlp):
    gateway = through()
    send(gateway, upstream, "chat_tools_stream")
    span = otlp.only()
    record = gateway.trace("chat_tools_stream")
    calls = record["response"]["tool_calls"]
    assert calls
    for index, call in enumerate(calls):
        prefix = f"gen_ai.completion.0.tool_calls.{index}"
        assert span.attributes[f"{prefix}.name"] == call["name"]
        assert span.attributes[f"{prefix}.arguments"] == call["arguments"]
    parts = span.json("gen_ai.output.messages")[0]["parts"]
    assert [part["arguments"] for part in parts if part["type"] == "tool_call"] == [json.loads(call["arguments"]) for call in calls]
    assert span.attributes["llm.is_streaming"] is True
    first = record["timing"]["time_to_first_token_ms"] / 1000
    assert span.attributes["gen_ai.server.time_to_first_token"] == pytest.approx(first)
    assert span.attributes["gen_ai.response.time_to_first_chunk"] == pytest.approx(first)


def test_embeddings_and_openllmetry_alone(through, upstream, otlp):
    gateway = through(otlp_semconv="openllmetry")
    send(gateway, upstream, "embeddings")
    span = otlp.only()
    assert (span.name, span.attributes["llm.request.type"]) == ("openai.embeddings", "embedding")
    assert "gen_ai.prompt.0.content" in span.attributes
    assert not [key for key in span.attributes if key.startswith(("gen_ai.completion.", "gen_ai.operation", "gen_ai.provider"))]


def test_an_error_is_an_error(through, upstream, otlp):
    gateway = through()
    send(gateway, upstream, "chat_error_429")
    span = otlp.only()
    assert span.error.startswith("HTTP 429") and "Rate limit reached" in span.error
    assert (span.attributes["http.response.status_code"], bool(span.attributes["error.type"])) == (429, True)
    assert not [key for key in span.attributes if key.startswith("gen_ai.usage.")], "unknown is absent"


def test_metadata_only_leaves_no_content(through, upstream, otlp):
    gateway = through(capture_content="metadata_only", log_level="debug")
    answer = json.loads(fixture("chat_tools").body)
    answer["choices"][0]["message"]["content"] = "canary-answer"
    upstream.add("canary", Answer(body=json.dumps(answer).encode()))
    body = {
        "model": "gpt-4o-mini", "user": "user-1",
        "messages": [{"role": "system", "content": "canary-system"}, {"role": "user", "content": [{"type": "text", "text": "canary-prompt"}]}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "canary-tool"}}],
    }  # fmt: skip
    headers = [("content-type", "application/json"), ("x-case", "canary"), ("x-message-id", "canary")]
    assert gateway.request("POST", "/v1/chat/completions", json.dumps(body).encode(), headers).status == 200
    span = otlp.only()
    assert span.attributes["llm.usage.total_tokens"] == 90
    told = json.dumps(span.attributes, ensure_ascii=False)
    for canary in ("canary-answer", "canary-system", "canary-prompt", "canary-tool"):
        assert canary not in told


def test_a_long_conversation_fits_and_says_what_is_missing(through, upstream, otlp):
    gateway = through(max_body_size=32 << 20)
    messages = [{"role": "user", "content": f"{number} " + "ü" * 400_000} for number in range(10)]
    send(gateway, upstream, "chat_plain", body={"model": "gpt-4o-mini", "messages": messages})
    span = otlp.only()
    cut = span.attributes["ai_tracing.truncated"]
    assert "gen_ai.prompt.9.content" in cut and "gen_ai.input.messages" in cut
    assert span.json("gen_ai.input.messages")[-1]["parts"][0]["content"].startswith("9 ü")
    assert span.attributes["gen_ai.completion.0.content"] == "Bonjour le monde 🌍"


# --- a receiver in trouble --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [503, 429, 401, 404, "hang"])
def test_trouble_never_reaches_the_client_and_all_arrives_after(through, upstream, otlp, trouble):
    otlp.mode, otlp.retry_after = trouble, "0"
    gateway = through(otlp_timeout=300)
    for number in range(8):
        send(gateway, upstream, "chat_plain", f"call-{number}")
    otlp.wait(lambda: len(otlp.exports) >= 2, what="a retry")
    otlp.mode = 200
    otlp.wait(lambda: len(otlp.spans()) >= 8, what="eight spans")
    assert len({span.id for span in otlp.spans()}) == len(otlp.spans()) == 8
    log = gateway.log()
    assert TOKEN.split()[1] not in log
    if trouble == 401:
        assert log.count("check otlp_headers") == 1


def test_what_is_refused_is_counted_and_not_sent_again(through, upstream, otlp):
    otlp.next = ["reject", 400]
    gateway = through()
    for name in ("first", "second", "third"):
        send(gateway, upstream, "chat_plain", name)
        otlp.wait(lambda: len(otlp.exports) == ("first", "second", "third").index(name) + 1, what=name)
    assert len(otlp.spans()) == 1
    until(lambda: "refused 1 of 1 spans: too old" in gateway.log(), what="a line about the refusal")
    assert len(otlp.exports) == 3


def test_a_stop_flushes(through, upstream, otlp):
    gateway = through(queue={**QUEUE, "max_coalescing_delay": 60, "max_batch_size": 1000})
    for number in range(20):
        send(gateway, upstream, "chat_plain", f"call-{number}")
    assert gateway.stop() == 0
    assert len(otlp.spans()) == 20
    assert len(otlp.exports) == 1


# --- who gets what ----------------------------------------------------------------------------------------------------


def test_langfuse_and_otlp_side_by_side(start, upstream, otlp, langfuse):
    """One call, two destinations; neither waits for the other."""
    gateway = start()
    both = {**langfuse_plugin(langfuse, langfuse_timeout=60000), **plugin(otlp, otlp_timeout=60000)}
    gateway.serve("ai", upstream.url, plugin=both)
    send(gateway, upstream, "chat_plain", "first")
    span = otlp.only()
    langfuse.wait(lambda: len(langfuse.spans()) == 3, what="Langfuse's trace")
    assert {(seen.trace_id, seen.name == "/v1/chat/completions" and seen.id) for seen in langfuse.spans()} >= {(span.trace_id, span.id)}

    langfuse.mode = "hang"
    send(gateway, upstream, "chat_plain", "second")
    otlp.wait(lambda: len(otlp.spans()) == 2, what="the second call while Langfuse hangs")
    langfuse.check()
    gateway.kill()


def test_plugins_with_different_receivers_do_not_mix(start, upstream, otlp):
    gateway = start()
    for name in ("one", "two"):
        config = plugin(otlp, otlp_headers={"Authorization": f"Bearer {name}"}, environment=name)
        gateway.serve(name, upstream.url, [f"/{name}"], plugin=config)
    case = fixture("chat_plain")
    upstream.add("chat_plain", case.answer())
    for number in range(6):
        name = ("one", "two")[number % 2]
        headers = [*case.request_headers, ("x-case", case.id), ("x-user-id", name)]
        assert gateway.request("POST", f"/{name}/v1/chat/completions", case.request_body, headers).status == 200
    otlp.wait(lambda: len(otlp.spans()) == 6, what="six spans")
    for export in otlp.exports:
        name = export.headers["authorization"].removeprefix("Bearer ")
        assert {(span.attributes["user.id"], span.resource["deployment.environment.name"]) for span in export.spans} == {(name, name)}


def test_the_environment_alone_sends_nothing(start, upstream, otlp, langfuse):
    """A variable that the platform sets for something else must not make conversations leave."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20of-another"}
    gateway = start(env=variables)
    gateway.serve("quiet", upstream.url, ["/quiet"], plugin=langfuse_plugin(langfuse))
    gateway.serve("asks", upstream.url, ["/asks"], plugin={"otlp_endpoint": "{vault://env/OTEL_EXPORTER_OTLP_ENDPOINT}", "queue": QUEUE})
    case = fixture("chat_plain")
    upstream.add("chat_plain", case.answer())
    for name in ("quiet", "asks"):
        headers = [*case.request_headers, ("x-case", case.id), ("x-user-id", name)]
        assert gateway.request("POST", f"/{name}/v1/chat/completions", case.request_body, headers).status == 200
    langfuse.wait(lambda: len(langfuse.spans()) == 3, what="Langfuse's trace")
    span = otlp.only()
    assert span.attributes["user.id"] == "asks"
    (export,) = otlp.exports
    assert (export.path, export.headers["authorization"]) == ("/v1/traces", "Bearer of-another")


def test_the_token_stands_nowhere(start, upstream, otlp, langfuse):
    gateway = start(env={"OTLP_TOKEN": TOKEN})
    config = {**langfuse_plugin(langfuse), **plugin(otlp, otlp_headers={"Authorization": "{vault://env/otlp-token}"}, log_level="debug")}
    gateway.serve("ai", upstream.url, plugin=config)
    otlp.next = [401, 500]
    send(gateway, upstream, "chat_plain")
    assert otlp.only()
    assert otlp.exports[0].headers["authorization"] == TOKEN
    langfuse.wait(lambda: len(langfuse.spans()) == 3, what="Langfuse's trace")
    assert TOKEN.split()[1].encode() not in everything(gateway, langfuse)


def test_a_receiver_that_comes_up_later(start, upstream):
    port = free_port()
    gateway = start()
    gateway.serve("ai", upstream.url, plugin={"otlp_endpoint": f"http://127.0.0.1:{port}", "queue": QUEUE})
    for number in range(5):
        send(gateway, upstream, "chat_plain", f"call-{number}")
    gateway.traces(5)
    back = FakeOtlp(port=port)
    try:
        back.wait(lambda: len(back.spans()) == 5, what="five spans")
        back.check()
    finally:
        back.close()


# --- the span, shown --------------------------------------------------------------------------------------------------


def as_protobuf(shown) -> bytes:
    """A request in OTLP's JSON, whose ids are hexadecimal where protobuf's own JSON has base64, as protobuf."""
    for group in shown["resourceSpans"]:
        for scoped in group["scopeSpans"]:
            for span in scoped["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return json_format.ParseDict(shown, ExportTraceServiceRequest()).SerializeToString()


@pytest.mark.parametrize("name", ["chat_plain", "chat_tools_stream", "embeddings", "chat_error_429"])
def test_the_console_shows_what_was_sent(start, upstream, otlp, langfuse, name):
    gateway = start()
    gateway.serve("ai", upstream.url, plugin=plugin(otlp, **langfuse_plugin(langfuse)))
    trace = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    send(gateway, upstream, name, extra=[trace, ("tracestate", "a=b"), ("X-User-Id", "user-1")])
    call = gateway.trace(name)["id"]
    shown = gateway.request("GET", f"/api/v1/calls/{call}/spans", address=gateway.console).json()["spans"]
    assert [it["destination"] for it in shown] == [f"langfuse {langfuse.url}", f"otlp {otlp.url}/api/v2/otlp/v1/traces"]
    otlp.only()
    assert parse(as_protobuf(shown[1]["request"])) == otlp.spans()
    langfuse.wait(lambda: len(langfuse.spans()) == 3, what="three observations")
    assert parse_otlp(as_protobuf(shown[0]["request"]), "application/x-protobuf") == langfuse.spans()
    # A call that went elsewhere, and a plugin that exports nothing.
    (configured,) = gateway.api("GET", "/plugins")["data"]
    gateway.api("PATCH", f"/plugins/{configured['id']}", {"config": {"langfuse_enabled": False, "otlp_endpoint": None}}, 200)
    shown = gateway.request("GET", f"/api/v1/calls/{call}/spans", address=gateway.console).json()
    assert shown == {"spans": [], "plugin": configured["id"]}
    gateway.api("DELETE", f"/plugins/{configured['id']}", expect=204)
    shown = gateway.request("GET", f"/api/v1/calls/{call}/spans", address=gateway.console).json()
    assert shown == {"spans": [], "plugin": None}
    assert gateway.request("GET", "/api/v1/calls/none/spans", address=gateway.console).status == 404
    assert gateway.request("GET", f"/api/v1/calls/{call}/nothing", address=gateway.console).status == 404
