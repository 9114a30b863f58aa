"""The official OpenAI client talks through the gateway: it sees what it would see without, and each call is a trace."""

import asyncio
import json
import math

import openai
import pytest
from facts import assert_facts
from upstream import Gate, fixture, fixtures


@pytest.fixture(scope="module", autouse=True)
def cases(upstream):
    """Every fixture of the project is an answer of the upstream."""
    for case in fixtures():
        upstream.add(case.id, case.answer())


@pytest.fixture
def client(gateway):
    with openai.OpenAI(base_url=f"http://{gateway.proxy}/v1", api_key="sk-test-key", max_retries=0, timeout=60) as made:
        yield made


def tag(case: str, message: str | None = None, **extra: str) -> dict[str, str]:
    """The headers that pick the answer and find the trace again."""
    return {"x-case": case, "x-message-id": message or case, **extra}


def check(gateway, case: str, message: str | None = None) -> dict:
    """The stored trace has the fixture's facts."""
    record = gateway.trace(message or case)
    assert_facts(fixture(case).expected, record)
    timing = record["timing"]
    assert timing["total_duration_ms"] > 0
    if record["stream"]:
        assert 0 <= timing["time_to_first_token_ms"] <= timing["total_duration_ms"]
    else:
        assert timing["time_to_first_token_ms"] is None
    return record


def body(case: str) -> dict:
    """What a fixture's client sends."""
    return json.loads(fixture(case).request_body)


def test_chat(client, gateway, upstream):
    done = client.chat.completions.create(**body("chat_plain"), extra_headers=tag("chat_plain"))
    assert done.choices[0].message.content == "Bonjour le monde 🌍"
    assert done.usage.prompt_tokens_details.cached_tokens == 64
    record = check(gateway, "chat_plain")
    assert record["name"] == "/v1/chat/completions"
    assert record["cost"]["total"] == pytest.approx(record["cost"]["input"] + record["cost"]["output"])
    assert record["token_efficiency"] == pytest.approx(9 / 120)
    # The upstream got the client's own bytes and key, and our span as the parent of its own.
    sent = upstream.seen("chat_plain")[-1]
    assert sent.header("authorization") == "Bearer sk-test-key"
    assert sent.header("traceparent").split("-")[1:3] == [record["trace_id"], record["span_id"]]


def test_chat_stream_without_usage(client, gateway):
    stream = client.chat.completions.create(**body("chat_stream"), extra_headers=tag("chat_stream"))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == "Bonjour le monde 🌍!"
    record = check(gateway, "chat_stream")
    assert record["usage"]["output"] > 0, "estimated where the provider gave none"


def test_chat_stream_with_usage(client, gateway):
    stream = client.chat.completions.create(**body("chat_stream_usage"), extra_headers=tag("chat_stream_usage"))
    chunks = list(stream)
    assert chunks[-1].usage.total_tokens == 27
    check(gateway, "chat_stream_usage")


def test_first_token_passes_before_the_second_is_sent(client, gateway, upstream):
    """Nothing is buffered: the client reads the first token while the upstream holds the rest back."""
    gate = Gate()
    answer = fixture("chat_stream_usage").answer()
    answer.gate = gate
    upstream.add("gated", answer)
    stream = client.chat.completions.create(**body("chat_stream_usage"), extra_headers=tag("gated"))
    chunks = iter(stream)
    assert next(chunks).choices[0].delta.content == ""
    gate.open()
    assert next(chunks).choices[0].delta.content == "Bon"
    gate.open(100)
    assert sum(1 for _ in chunks) == 7
    record = gateway.trace("gated")
    assert 0 < record["timing"]["time_to_first_token_ms"] < record["timing"]["total_duration_ms"]


@pytest.mark.parametrize("case", ["chat_tools", "chat_n2", "chat_refusal"])
def test_chat_variants(client, gateway, case):
    done = client.chat.completions.create(**body(case), extra_headers=tag(case))
    assert done.id == "chatcmpl-9a"
    check(gateway, case)


@pytest.mark.parametrize("case", ["chat_tools_stream", "chat_n2_stream", "chat_reasoning_stream"])
def test_chat_stream_variants(client, gateway, case):
    with client.chat.completions.create(**body(case), extra_headers=tag(case)) as stream:
        assert len(list(stream)) >= 4
    check(gateway, case)


def test_tool_stream_through_the_client_accumulator(client):
    arguments = {k: v for k, v in body("chat_tools_stream").items() if k != "stream"}
    with client.chat.completions.stream(**arguments, extra_headers=tag("chat_tools_stream", "tools-acc")) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"city": "Paris"}', '{"city": "Zürich"}']


def test_completions(client, gateway):
    assert client.completions.create(**body("completions"), extra_headers=tag("completions")).choices[0].text == " a time"
    check(gateway, "completions")


def test_completions_stream(client, gateway):
    stream = client.completions.create(**body("completions_stream"), extra_headers=tag("completions_stream"))
    assert "".join(part.choices[0].text for part in stream) == " a time"
    check(gateway, "completions_stream")


def test_embeddings(client, gateway):
    """The client asks for base64 by itself and decodes it."""
    request = {k: v for k, v in body("embeddings_base64").items() if k != "encoding_format"}
    done = client.embeddings.create(**request, extra_headers=tag("embeddings_base64"))
    assert done.data[0].embedding == [0.25, -0.5, 0.125, 1.0]
    check(gateway, "embeddings_base64")
    client.embeddings.create(**body("embeddings"), extra_headers=tag("embeddings"))
    check(gateway, "embeddings")


def test_rate_limited(client, gateway):
    with pytest.raises(openai.RateLimitError) as error:
        client.chat.completions.create(**body("chat_error_429"), extra_headers=tag("chat_error_429"))
    assert error.value.code == "rate_limit_exceeded"
    assert error.value.response.headers["retry-after-ms"] == "1"
    check(gateway, "chat_error_429")


def test_bad_request(client, gateway):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(**body("chat_error_400"), extra_headers=tag("chat_error_400"))
    assert error.value.param == "temperature"
    check(gateway, "chat_error_400")


def test_error_event_in_a_good_stream(client, gateway):
    with pytest.raises(openai.APIError, match="The server had an error"):
        list(client.chat.completions.create(**body("chat_stream_error"), extra_headers=tag("chat_stream_error")))
    check(gateway, "chat_stream_error")


def test_context_from_headers_and_metadata(client, gateway):
    """A header wins over the body; chat_id stands in for a missing session; the rest stays metadata."""
    arguments = body("chat_plain")
    metadata = {
        "user_id": "user-body", "chat_id": "chat-body", "organization_id": "org-body", "project_id": "project-body",
        "features": {"web_search": True}, "variables": {"user_tier": "premium"}, "other": "kept",
    }  # fmt: skip
    client.chat.completions.create(
        **arguments, extra_body={"metadata": metadata}, extra_headers=tag("chat_plain", "context-1", **{"X-User-Id": "user-header", "X-Organization-Id": "org-header"})
    )
    context = gateway.trace("context-1")["context"]
    assert context["user_id"] == "user-header"
    assert context["organization_id"] == "org-header"
    assert context["session_id"] == context["chat_id"] == "chat-body"
    assert context["project_id"] == "project-body"
    assert context["metadata"] == {"features": {"web_search": True}, "variables": {"user_tier": "premium"}, "other": "kept"}


def test_user_of_the_body_and_session_header(client, gateway):
    client.chat.completions.create(**body("chat_plain"), user="user-openai", extra_headers=tag("chat_plain", "context-2", **{"X-Session-Id": "session-1"}))
    context = gateway.trace("context-2")["context"]
    assert (context["user_id"], context["session_id"], context["chat_id"]) == ("user-openai", "session-1", None)


def test_callers_trace_is_joined(client, gateway, upstream):
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    client.chat.completions.create(
        **body("chat_plain"), extra_headers=tag("chat_plain", "joined", traceparent=f"00-{trace}-{span}-01", tracestate="vendor=1")
    )
    record = gateway.trace("joined")
    assert (record["trace_id"], record["parent_span_id"], record["tracestate"]) == (trace, span, "vendor=1")
    sent = next(r for r in upstream.seen("chat_plain") if r.header("x-message-id") == "joined")
    assert sent.header("traceparent") == f"00-{trace}-{record['span_id']}-01"
    assert sent.header("tracestate") == "vendor=1"


def test_fifty_at_once(gateway):
    """Concurrent streams and answers never mix."""

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=f"http://{gateway.proxy}/v1", api_key="sk-test-key", max_retries=0, timeout=60) as client:

            async def one(number: int) -> str:
                if number % 2:
                    stream = await client.chat.completions.create(**body("chat_stream_usage"), extra_headers=tag("chat_stream_usage", f"many-{number}", **{"x-user-id": f"user-{number}"}))
                    return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
                done = await client.chat.completions.create(**body("chat_plain"), extra_headers=tag("chat_plain", f"many-{number}", **{"x-user-id": f"user-{number}"}))
                return done.choices[0].message.content

            return await asyncio.gather(*(one(number) for number in range(100)))

    answers = asyncio.run(all_of_them())
    assert answers == ["Bonjour le monde 🌍", "Bonjour le monde 🌍!"] * 50
    records = gateway.traces(100, lambda record: (record["context"]["message_id"] or "").startswith("many-"))
    assert len(records) == 100
    assert len({record["id"] for record in records}) == len({record["span_id"] for record in records}) == 100
    for record in records:
        number = int(record["context"]["message_id"].removeprefix("many-"))
        assert record["context"]["user_id"] == f"user-{number}"
        assert record["stream"] == bool(number % 2)
        assert record["usage"]["total"] == (27 if number % 2 else 129)


def test_client_goes_away_in_the_middle_of_a_stream(client, gateway, upstream):
    gate = Gate()
    answer = fixture("chat_stream_usage").answer()
    answer.gate = gate
    upstream.add("abort", answer)
    stream = client.chat.completions.create(**body("chat_stream_usage"), extra_headers=tag("abort"))
    chunks = iter(stream)
    gate.open(2)
    assert [next(chunks).choices[0].delta.content for _ in range(3)] == ["", "Bon", "jour"]
    stream.response.close()
    record = gateway.trace("abort")
    assert record["end"] == "client_gone"
    assert record["response"]["text"] == "Bonjour"
    assert record["status"] == 200
    assert record["usage"]["output"] is None or record["tokens_estimated"]
    gate.open(100)


def test_numbers_fit_together(gateway):
    """Over everything this module traced: derived numbers follow from the measured ones, and unknown is never 0."""
    for record in gateway.records():
        timing, usage = record["timing"], record["usage"]
        assert all(value is None or math.isfinite(value) for key, value in timing.items() if key.endswith(("_ms", "_second")))
        if usage["input"] is not None and usage["output"] is not None and usage["input"] > 0:
            assert record["token_efficiency"] == pytest.approx(usage["output"] / usage["input"])
        if usage["output"] and timing["throughput_tokens_per_second"] is not None:
            assert timing["throughput_tokens_per_second"] == pytest.approx(usage["output"] / timing["total_duration_ms"] * 1000, rel=0.01)
        if record["status"] and record["status"] >= 400:
            assert usage["output"] is None and record["cost"] is None
