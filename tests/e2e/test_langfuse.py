"""What Langfuse gets: the promised trace, by the API that the server has, once, whatever state the server is in."""

import base64
import json
import re
import threading
import time

import pytest
from fake_langfuse import BATCH_PATH, OTLP_PATH, FakeLangfuse
from gateway import QUEUE, until
from upstream import Answer, Gate, fixture

PUBLIC, SECRET = "pk-lf-test-0001", "sk-lf-secret-canary-7f3a"


def plugin(langfuse, **extra) -> dict:
    """A plugin configuration for a Langfuse."""
    return {
        "langfuse_enabled": True, "langfuse_public_key": PUBLIC, "langfuse_secret_key": SECRET,
        "langfuse_endpoint": langfuse.url, "environment": "test", "queue": QUEUE, **extra,
    }  # fmt: skip


@pytest.fixture
def through(start, upstream, langfuse):
    """A gateway that exports to `langfuse`; called with plugin parameters."""

    def made(*args, server=None, **config):
        gateway = start(*args)
        gateway.serve("ai", upstream.url, plugin=plugin(server or langfuse, **config))
        return gateway

    yield made
    langfuse.check()


def send(gateway, upstream, name: str, message: str | None = None, extra=(), body: dict | bytes | None = None):
    """Sends a fixture's request (or another body) and checks that the client gets the upstream's answer."""
    case = fixture(name)
    upstream.add(name, case.answer())
    if body is not None:
        case.request_body = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [*case.request_headers, ("x-case", name), ("x-message-id", message or name), *extra]
    reply = gateway.request("POST", case.path, case.request_body, headers)
    assert (reply.status, reply.body) == (case.status, case.body)
    return reply


def one_trace(langfuse, count: int = 3) -> dict:
    """Waits for one complete trace; its observations by name."""
    langfuse.wait(lambda: len(langfuse.spans()) >= count, what=f"{count} observations")
    spans = langfuse.spans()
    assert len(spans) == count, [span.name for span in spans]
    assert len({span.trace_id for span in spans}) == 1
    return {span.name: span for span in spans}


# --- the shape ------------------------------------------------------------------------------------------------------


def test_the_promised_trace(through, upstream, langfuse):
    gateway = through()
    send(gateway, upstream, "chat_plain", extra=[("X-User-Id", "user-1"), ("X-Session-Id", "session-1"), ("X-Project-Id", "project-1")])
    spans = one_trace(langfuse)
    root, prompt, completion = spans["/v1/chat/completions"], spans["prompt"], spans["completion"]
    assert (root.type, prompt.type, completion.type) == ("span", "event", "generation")
    assert prompt.parent == completion.parent == root.id
    assert root.parent is None

    for span in (root, prompt, completion):
        attributes = span.attributes
        assert attributes["langfuse.trace.name"] == "/v1/chat/completions"
        assert attributes["langfuse.user.id"] == "user-1"
        assert attributes["langfuse.session.id"] == "session-1"
        assert attributes["langfuse.environment"] == "test"
        assert span.scope == "langfuse-sdk-ai-tracing"

    body = json.loads(fixture("chat_plain").request_body)
    messages = prompt.json("langfuse.observation.input")
    assert messages == body["messages"] or messages == {"messages": body["messages"]}
    metadata = prompt.metadata()
    assert (int(metadata["prompt_tokens"]), float(metadata["temperature"]), int(metadata["max_tokens"]), int(metadata["message_count"])) == (120, 0.7, 50, 2)
    assert int(metadata["prompt_length"]) == sum(len(message["content"]) for message in body["messages"])

    assert "Bonjour le monde 🌍" in completion.attributes["langfuse.observation.output"]
    assert completion.attributes["langfuse.observation.model.name"] == "gpt-4o-mini-2024-07-18"
    parameters = completion.json("langfuse.observation.model.parameters")
    assert parameters["temperature"] == 0.7
    assert isinstance(completion.attributes["langfuse.observation.model.parameters"], str)
    usage = completion.json("langfuse.observation.usage_details")
    assert {key: usage[key] for key in ("input", "input_cached_tokens", "total")} == {"input": 56, "input_cached_tokens": 64, "total": 129}
    assert usage["output"] + usage.get("output_reasoning_tokens", 0) == 9
    metadata = completion.metadata()
    assert (int(metadata["completion_tokens"]), int(metadata["total_tokens"])) == (9, 129)
    assert (metadata["finish_reason"], metadata["response_id"], metadata["end"]) == ("stop", "chatcmpl-9a", "complete")
    assert "tokens_estimated" not in metadata
    assert float(metadata["token_efficiency"]) == pytest.approx(9 / 120)
    assert int(metadata["response_length"]) == len("Bonjour le monde 🌍")

    metadata = {**root.trace_metadata(), **root.metadata()}
    assert metadata["provider"] == "openai", "told by its response headers"
    assert metadata["model"].startswith("gpt-4o-mini")
    assert int(metadata["status_code"]) == 200
    assert float(metadata["total_duration_ms"]) > 0
    assert float(metadata["time_per_token_ms"]) > 0
    assert float(metadata["throughput_tokens_per_second"]) > 0
    assert metadata["project_id"] == "project-1"

    record = gateway.trace("chat_plain")
    assert (root.trace_id, root.id) == (record["trace_id"], record["span_id"])
    assert root.end - root.start == pytest.approx(record["timing"]["total_duration_ms"] / 1000, abs=0.001)
    assert root.start <= completion.start <= completion.end <= root.end + 0.001


def test_a_request_as_langfuse_wants_it(through, upstream, langfuse):
    gateway = through()
    send(gateway, upstream, "chat_stream_usage")
    spans = one_trace(langfuse)
    (export,) = langfuse.accepted()
    assert export.path == OTLP_PATH
    assert export.headers["content-type"].startswith("application/x-protobuf")
    assert export.headers["content-encoding"] == "gzip"
    assert export.headers["authorization"] == "Basic " + base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()
    assert export.headers["x-langfuse-ingestion-version"] == "4"
    assert "ai-tracing" in export.headers["x-langfuse-sdk-name"]
    assert export.headers["x-langfuse-sdk-version"]
    first = spans["completion"].attributes["langfuse.observation.completion_start_time"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", first)
    metadata = {**spans["/v1/chat/completions"].trace_metadata(), **spans["/v1/chat/completions"].metadata()}
    assert float(metadata["time_to_first_token_ms"]) >= 0


def test_unknown_is_absent_and_estimated_is_flagged(through, upstream, langfuse):
    gateway = through()
    send(gateway, upstream, "chat_stream")
    completion = one_trace(langfuse)["completion"]
    assert str(completion.metadata()["tokens_estimated"]).lower() == "true"
    usage = completion.json("langfuse.observation.usage_details")
    assert usage["input"] > 0 and usage["output"] > 0
    assert "input_cached_tokens" not in usage and "output_reasoning_tokens" not in usage


def test_an_error_is_an_error(through, upstream, langfuse):
    gateway = through()
    send(gateway, upstream, "chat_error_429")
    spans = one_trace(langfuse)
    completion = spans["completion"]
    assert completion.attributes["langfuse.observation.level"] == "ERROR"
    assert "Rate limit reached" in completion.attributes["langfuse.observation.status_message"]
    assert "langfuse.observation.usage_details" not in completion.attributes
    root = spans["/v1/chat/completions"]
    assert int({**root.trace_metadata(), **root.metadata()}["status_code"]) == 429


def test_embeddings(through, upstream, langfuse):
    gateway = through()
    send(gateway, upstream, "embeddings")
    spans = one_trace(langfuse)
    completion = next(span for name, span in spans.items() if name not in ("prompt", "/v1/embeddings"))
    assert completion.type in ("generation", "embedding")
    assert completion.json("langfuse.observation.usage_details") == {"input": 5, "total": 5}


def test_compact_is_one_generation(through, upstream, langfuse):
    gateway = through(langfuse_observations="compact")
    send(gateway, upstream, "chat_plain", extra=[("X-User-Id", "user-1")])
    (span,) = one_trace(langfuse, 1).values()
    assert (span.type, span.parent) == ("generation", None)
    assert span.attributes["langfuse.user.id"] == "user-1"
    assert span.json("langfuse.observation.usage_details")["total"] == 129
    assert "漢字" in span.attributes["langfuse.observation.input"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [("Production", "production"), ("langfuse-eu", None), ("Blue/Green env!", None), ("x" * 60, None)],
)
def test_environment_is_normalised(through, upstream, langfuse, given, sent):
    gateway = through(environment=given)
    send(gateway, upstream, "chat_plain")
    for span in one_trace(langfuse).values():
        value = span.attributes["langfuse.environment"]
        assert re.fullmatch(r"(?!langfuse)[a-z0-9_-]{1,40}", value), value
        assert sent is None or value == sent


def test_nul_and_lone_surrogates_never_arrive(through, upstream, langfuse):
    """A lone surrogate in one string would cost a real server the whole batch."""
    gateway = through()
    body = rb'{"model":"m\u0000n","user":"u\ud800","messages":[{"role":"user","content":"a\ud800b\u0000c \ud83c\udf0d \udfff"}],"metadata":{"k\udc00":"v\ud801"},"stop":["\ud800"]}'
    send(gateway, upstream, "chat_plain", body=body)
    spans = one_trace(langfuse)
    assert upstream.seen("chat_plain")[-1].body == body, "the upstream gets what the client sent"
    (export,) = langfuse.accepted()
    assert b"\0" not in spans["prompt"].attributes["langfuse.observation.input"].encode()
    text = json.dumps([span.attributes for span in spans.values()])
    flat = json.dumps(json.loads(text.replace("\\\\u", "\\u")))
    assert not re.search(r"\\u0000", flat)
    assert not re.search(r"\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f]", flat)
    assert "🌍" in spans["prompt"].attributes["langfuse.observation.input"], "a proper pair stays"


def test_the_callers_trace_is_joined(through, upstream, langfuse):
    gateway = through()
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    send(gateway, upstream, "chat_plain", extra=[("traceparent", f"00-{trace}-{parent}-01")])
    spans = one_trace(langfuse)
    assert spans["/v1/chat/completions"].trace_id == trace
    assert spans["/v1/chat/completions"].parent == parent


# --- the endpoint, the API ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "/", BATCH_PATH, OTLP_PATH, OTLP_PATH + "/"])
def test_every_spelling_of_the_endpoint(through, upstream, langfuse, suffix):
    gateway = through(langfuse_endpoint=langfuse.url + suffix)
    send(gateway, upstream, "chat_plain")
    one_trace(langfuse)
    assert {export.path for export in langfuse.exports} == {OTLP_PATH}


def check_batch(langfuse, gateway) -> None:
    """The batch API got the same trace, in Langfuse's own models."""
    langfuse.wait(lambda: len(langfuse.events()) >= 4, what="a trace and three observations")
    kinds = sorted(event.type for event in langfuse.events())
    assert kinds == ["event-create", "generation-create", "span-create", "trace-create"]
    by_kind = {event.type: event for event in langfuse.events()}
    trace, generation = by_kind["trace-create"].body, by_kind["generation-create"].body
    assert trace.id == generation.trace_id == by_kind["span-create"].body.trace_id
    assert (trace.name, trace.user_id, trace.environment) == ("/v1/chat/completions", "user-1", "test")
    assert generation.model == "gpt-4o-mini-2024-07-18"
    assert "Bonjour" in json.dumps(generation.output, ensure_ascii=False)
    assert all(not isinstance(value, (dict, list)) for value in (generation.model_parameters or {}).values())
    raw = next(span for span in langfuse.spans() if span.type == "generation").attributes
    assert raw["usageDetails"]["input_cached_tokens"] == 64
    assert raw["usageDetails"]["total"] == 129
    assert trace.id == gateway.trace("chat_plain")["trace_id"]
    assert len({event.id for event in langfuse.events()}) == 4


def test_v2_has_no_otlp(through, upstream, langfuse):
    langfuse.mode = "v2"
    gateway = through()
    send(gateway, upstream, "chat_plain", extra=[("X-User-Id", "user-1")])
    check_batch(langfuse, gateway)
    send(gateway, upstream, "chat_plain", "second")
    langfuse.wait(lambda: len(langfuse.events()) >= 8, what="the second trace")
    assert [export.path for export in langfuse.exports].count(OTLP_PATH) <= 2, "the choice is kept"


def test_pinned_to_the_batch_api(through, upstream, langfuse):
    langfuse.mode = "v3"
    gateway = through(langfuse_api="ingestion")
    send(gateway, upstream, "chat_plain", extra=[("X-User-Id", "user-1")])
    check_batch(langfuse, gateway)
    assert {export.path for export in langfuse.exports} == {BATCH_PATH}


def test_event_type_not_accepted_turns_to_otlp(through, upstream, langfuse):
    """The server was v2 and has been upgraded to v4 while the gateway ran."""
    langfuse.mode = "v2"
    gateway = through()
    send(gateway, upstream, "chat_plain", extra=[("X-User-Id", "user-1")])
    check_batch(langfuse, gateway)
    langfuse.mode = "v4"
    send(gateway, upstream, "chat_plain", "after")
    span = langfuse.trace("completion", lambda span: span.trace_id == gateway.trace("after")["trace_id"])
    assert len(span) == 1
    assert langfuse.accepted()[-1].path == OTLP_PATH


# --- a Langfuse in trouble -------------------------------------------------------------------------------------------


def assert_each_once(langfuse, count: int) -> None:
    """`count` traces of three observations, every id once."""
    langfuse.wait(lambda: len(langfuse.spans()) >= 3 * count, what=f"{count} traces")
    ids = [(span.trace_id, span.id) for span in langfuse.spans()]
    assert len(ids) == len(set(ids)) == 3 * count
    assert len({trace for trace, _ in ids}) == count


@pytest.mark.parametrize("trouble", [500, 429, 503, "hang"])
def test_trouble_never_reaches_the_client_and_all_arrives_after(through, upstream, langfuse, trouble):
    langfuse.mode, langfuse.retry_after = trouble, "0"
    gateway = through(langfuse_timeout=300)
    for number in range(8):
        send(gateway, upstream, "chat_plain", f"call-{number}")
    langfuse.wait(lambda: len(langfuse.exports) >= 2, what="a retry")
    langfuse.mode = "v4"
    assert_each_once(langfuse, 8)


def test_refused_connections_then_recovery(start, upstream):
    """Langfuse is down from the start and comes up later on the same port."""
    probe = FakeLangfuse()
    port = probe.port
    probe.close()
    gateway = start()
    gateway.serve("ai", upstream.url, plugin=plugin(probe))
    for number in range(5):
        send(gateway, upstream, "chat_plain", f"call-{number}")
    gateway.traces(5)
    back = FakeLangfuse(port=port)
    try:
        assert_each_once(back, 5)
        back.check()
    finally:
        back.close()


def test_a_request_does_not_wait_for_langfuse(through, upstream, langfuse):
    """While every export hangs, calls pass: a whole run of them ends although no export ever does."""
    langfuse.mode = "hang"
    gateway = through(langfuse_timeout=60000)
    send(gateway, upstream, "chat_plain", "first")
    langfuse.wait(lambda: langfuse.exports, what="a hanging export")
    began = time.monotonic()
    for number in range(50):
        send(gateway, upstream, "chat_plain", f"call-{number}")
    assert time.monotonic() - began < 30, "one export takes 60 s"
    assert len(langfuse.exports) < 50
    gateway.traces(51)
    gateway.kill()


def test_wrong_keys_are_said_once_and_without_the_keys(through, upstream, langfuse):
    langfuse.mode = 401
    gateway = through()
    send(gateway, upstream, "chat_plain")
    until(lambda: "401" in gateway.log(), what="a log line about 401")
    assert SECRET not in gateway.log()
    gateway.alive()


def test_too_large_is_split(through, upstream, langfuse):
    langfuse.next = [413]
    gateway = through(queue={**QUEUE, "max_coalescing_delay": 1, "max_batch_size": 10})
    for number in range(10):
        send(gateway, upstream, "chat_plain", f"call-{number}")
    assert_each_once(langfuse, 10)


def test_a_stop_flushes(through, upstream, langfuse):
    gateway = through(queue={**QUEUE, "max_coalescing_delay": 60, "max_batch_size": 1000})
    for number in range(20):
        send(gateway, upstream, "chat_plain", f"call-{number}")
    assert gateway.stop() == 0
    assert_each_once(langfuse, 20)
    assert len(gateway.records()) == 20


# --- who gets what, and what nobody gets ------------------------------------------------------------------------------


def test_two_services_two_projects(start, upstream, langfuse):
    gateway = start()
    gateway.serve("one", upstream.url, ["/one"], plugin=plugin(langfuse, langfuse_public_key="pk-one"))
    gateway.serve("two", upstream.url, ["/two"], plugin=plugin(langfuse, langfuse_public_key="pk-two", environment="staging"))
    case = fixture("chat_plain")
    upstream.add("chat_plain", case.answer())
    for number in range(6):
        name = ("one", "two")[number % 2]
        case.path = f"/{name}/v1/chat/completions"
        reply = gateway.request("POST", case.path, case.request_body, [*case.request_headers, ("x-case", case.id), ("x-user-id", name)])
        assert reply.status == 200
    langfuse.wait(lambda: len(langfuse.spans()) >= 18, what="six traces")
    for name, environment in (("one", "test"), ("two", "staging")):
        spans = langfuse.spans(f"pk-{name}:{SECRET}")
        assert len(spans) == 9
        assert {span.attributes["langfuse.user.id"] for span in spans} == {name}
        assert {span.attributes["langfuse.environment"] for span in spans} == {environment}
    langfuse.check()


def everything(gateway, langfuse) -> bytes:
    """All that has left the engine: store files, log, Langfuse's payloads."""
    gateway.stop()
    files = [path.read_bytes() for path in gateway.data_dir.rglob("*") if path.is_file()]
    assert any(b"SQLite format 3" in content[:16] for content in files)
    payloads = [json.dumps([s.attributes for s in export.spans], ensure_ascii=False).encode() + export.body for export in langfuse.exports]
    return b"\n".join([*files, *payloads, gateway.log().encode(errors="surrogateescape")])


def test_metadata_only_leaves_no_content(through, upstream, langfuse):
    gateway = through(capture_content="metadata_only", log_level="debug")
    canaries = ["canary-prompt", "canary-system", "canary-tool", "canary-answer", "canary-argument"]
    answer = json.loads(fixture("chat_tools").body)
    answer["choices"][0]["message"]["content"] = "canary-answer"
    answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = '{"city":"canary-argument"}'
    upstream.add("canary", Answer(body=json.dumps(answer).encode()))
    body = {
        "model": "gpt-4o-mini", "temperature": 0.5, "user": "user-1",
        "messages": [{"role": "system", "content": "canary-system"}, {"role": "user", "content": [{"type": "text", "text": "canary-prompt"}]}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "canary-tool"}}],
    }  # fmt: skip
    headers = [("content-type", "application/json"), ("x-case", "canary"), ("x-message-id", "canary")]
    assert gateway.request("POST", "/v1/chat/completions", json.dumps(body).encode(), headers).status == 200
    spans = one_trace(langfuse)
    record = gateway.trace("canary")
    assert record["request"]["message_count"] == 2
    assert record["prompt_length"] == len("canary-systemcanary-prompt")
    assert record["response_length"] == len("canary-answer")
    assert record["usage"]["total"] == 90
    assert record["request"]["params"]["temperature"] == 0.5
    assert int(spans["completion"].metadata()["total_tokens"]) == 90
    left = everything(gateway, langfuse)
    assert b"user-1" in left
    for canary in canaries:
        assert canary.encode() not in left, canary


def test_redaction(through, upstream, langfuse):
    gateway = through(
        log_level="debug",
        redact=[{"pattern": r"\b\d{4}-\d{4}-\d{4}\b"}, {"pattern": "[a-z]+@example\\.com", "replacement": "<mail>"}],
    )
    answer = json.loads(fixture("chat_plain").body)
    answer["choices"][0]["message"]["content"] = "Your card 1111-2222-3333, bob@example.com"
    upstream.add("redact", Answer(body=json.dumps(answer).encode()))
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "My card is 4444-5555-6666"}], "user": "alice@example.com", "metadata": {"note": "7777-8888-9999"}}
    headers = [("content-type", "application/json"), ("x-case", "redact"), ("x-message-id", "redact")]
    reply = gateway.request("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)
    assert b"1111-2222-3333" in reply.body, "the client's bytes are untouched"
    one_trace(langfuse)
    record = gateway.trace("redact")
    assert record["response"]["text"] == "Your card [REDACTED], <mail>"
    assert record["context"]["user_id"] == "<mail>"
    left = everything(gateway, langfuse)
    for secret in (b"1111-2222", b"4444-5555", b"7777-8888", b"alice@example", b"bob@example"):
        assert secret not in left, secret


def test_no_secret_in_log_trace_or_store(through, upstream, langfuse):
    gateway = through(log_level="debug")
    header_secrets = ["sk-client-canary-1", "azure-canary-2", "cookie-canary-3", "proxy-canary-4"]
    extra = [("Authorization", "Bearer sk-client-canary-1"), ("api-key", "azure-canary-2"), ("Cookie", "s=cookie-canary-3"), ("Proxy-Authorization", "Basic proxy-canary-4")]
    send(gateway, upstream, "chat_plain", extra=extra)
    send(gateway, upstream, "chat_error_400", extra=extra)
    langfuse.wait(lambda: len(langfuse.spans()) >= 6, what="two traces")
    # A failing export logs too.
    langfuse.next = [500]
    send(gateway, upstream, "chat_plain", "third", extra=extra)
    langfuse.wait(lambda: len(langfuse.spans()) >= 9, what="the third trace")
    encoded = base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()
    gateway.stop()
    traces = b"".join(json.dumps([s.attributes for s in export.spans]).encode() + export.body for export in langfuse.exports)
    log = gateway.log().encode()
    assert b"AI Tracing" in log
    for secret in [*header_secrets, SECRET, encoded]:
        assert secret.encode() not in log, f"{secret} in the log"
        assert secret.encode() not in traces, f"{secret} in a trace"
    store = b"".join(path.read_bytes() for path in gateway.data_dir.rglob("*") if path.is_file())
    for secret in header_secrets:
        assert secret.encode() not in store, f"{secret} in the store"


def test_sampling_keeps_every_error(through, upstream, langfuse):
    gateway = through(sampling_ratio=0)
    for number in range(5):
        send(gateway, upstream, "chat_plain", f"good-{number}")
        send(gateway, upstream, "chat_error_400", f"bad-{number}")
    assert_each_once(langfuse, 5)
    records = gateway.traces(5)
    assert {record["context"]["message_id"] for record in records} == {f"bad-{number}" for number in range(5)}


def test_vault_reference(start, upstream, langfuse):
    gateway = start(env={"LF_SECRET": SECRET})
    made = gateway.serve("ai", upstream.url, plugin=plugin(langfuse, langfuse_secret_key="{vault://env/lf-secret}"))
    assert made["config"]["langfuse_secret_key"] == "{vault://env/lf-secret}", "the reference is kept, not its value"
    send(gateway, upstream, "chat_plain")
    one_trace(langfuse)
    assert langfuse.accepted()[0].project == f"{PUBLIC}:{SECRET}"
    assert SECRET not in gateway.log()


def test_keys_from_the_environment(start, upstream, langfuse):
    """No configuration but the variables that every Langfuse user knows."""
    gateway = start("--upstream", upstream.url, env={"LANGFUSE_PUBLIC_KEY": PUBLIC, "LANGFUSE_SECRET_KEY": SECRET, "LANGFUSE_BASE_URL": langfuse.url})
    send(gateway, upstream, "chat_plain")
    one_trace(langfuse)
    assert langfuse.accepted()[0].project == f"{PUBLIC}:{SECRET}"
    langfuse.check()


def test_changed_configuration_counts_for_the_next_call(through, upstream, langfuse):
    gateway = through()
    send(gateway, upstream, "chat_plain", "before")
    one_trace(langfuse)
    (made,) = gateway.api("GET", "/plugins")["data"]
    gateway.api("PATCH", f"/plugins/{made['id']}", {"config": {"environment": "changed"}}, 200)
    send(gateway, upstream, "chat_plain", "after")
    langfuse.wait(lambda: len(langfuse.spans()) >= 6, what="the second trace")
    assert {span.attributes["langfuse.environment"] for span in langfuse.spans()[3:]} == {"changed"}
    gateway.api("DELETE", f"/plugins/{made['id']}")
    send(gateway, upstream, "chat_plain", "untraced")
    assert gateway.stop() == 0
    assert len(langfuse.spans()) == 6
    assert {record["context"]["message_id"] for record in gateway.records()} == {"before", "after"}


def test_a_stream_in_flight_is_traced_when_the_gateway_stops(through, upstream, langfuse):
    """SIGTERM drains: the stream ends for the client as if nothing had happened, and its trace arrives."""
    gateway = through()
    case = fixture("chat_stream_usage")
    gate = Gate()
    answer = case.answer()
    answer.gate = gate
    upstream.add("draining", answer)
    replies = []

    def read():
        replies.append(gateway.request("POST", case.path, case.request_body, [*case.request_headers, ("x-case", "draining"), ("x-message-id", "draining")]))

    reader = threading.Thread(target=read)
    reader.start()
    upstream.wait(lambda: upstream.sent.get("draining"), what="the first piece")
    gateway.terminate()
    until(lambda: not accepts(gateway), what="the proxy to take no new connection")
    gate.open(100)
    reader.join(60)
    assert replies[0].body == case.body
    assert gateway.stop() == 0
    assert_each_once(langfuse, 1)


def accepts(gateway) -> bool:
    """True while the proxy takes new connections."""
    try:
        gateway.socket(timeout=5).close()
        return True
    except OSError:
        return False
