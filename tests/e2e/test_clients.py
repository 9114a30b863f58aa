"""The providers' official clients talk through the gateway: each sees what it would see without, and each call is a
trace with the provider's facts.

The upstream answers what the providers' public references say they answer.
"""

import base64
import binascii
import json
import struct

import anthropic
import boto3
import cohere
import ollama
import pytest
from botocore.config import Config
from facts import assert_facts
from google import genai
from google.genai import types
from upstream import Answer

KEY = "sk-test-key"
JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream")]


def answer(value: dict, headers=JSON) -> Answer:
    return Answer(headers=headers, body=json.dumps(value).encode())


def events(*values: tuple[str, dict] | dict, end: str = "\n\n") -> Answer:
    """Server-sent events, one piece each; with a name where the provider names them."""
    pieces = []
    for value in values:
        name, value = value if isinstance(value, tuple) else ("", value)
        field = f"event: {name}{end[:len(end) // 2]}" if name else ""
        pieces.append(f"{field}data: {json.dumps(value)}{end}".encode())
    return Answer(headers=SSE, pieces=pieces, framing="chunked")


def lines(*values: dict) -> Answer:
    """Newline-delimited JSON."""
    pieces = [json.dumps(value).encode() + b"\n" for value in values]
    return Answer(headers=[("content-type", "application/x-ndjson")], pieces=pieces, framing="chunked")


def frames(*values: tuple[str, dict]) -> Answer:
    """An AWS event stream: https://smithy.io/2.0/aws/amazon-eventstream.html."""

    def header(name: str, value: str) -> bytes:
        return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()

    def frame(kind: str, payload: dict) -> bytes:
        headers = header(":event-type", kind) + header(":content-type", "application/json")
        headers += header(":message-type", "event")
        data = json.dumps(payload).encode()
        prelude = struct.pack(">II", 16 + len(headers) + len(data), len(headers))
        message = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + data
        return message + struct.pack(">I", binascii.crc32(message))

    pieces = [frame(kind, payload) for kind, payload in values]
    return Answer(headers=[("content-type", "application/vnd.amazon.eventstream")], pieces=pieces, framing="chunked")


@pytest.fixture
def call(request, upstream):
    """Registers the answer of a test and gives the headers that pick it and find its trace again."""

    def register(reply: Answer) -> dict[str, str]:
        case = upstream.add(request.node.name, reply)
        return {"x-case": case, "x-message-id": case, "x-user-id": "u-1"}

    return register


@pytest.fixture
def traced(request, gateway, upstream):
    """Checks the stored trace, and that the upstream got the credential that the trace must not have."""

    def check(expected: dict, credential: str = KEY) -> dict:
        record = gateway.trace(request.node.name)
        assert_facts({"context": {"user_id": "u-1"}, "status": 200, "error": None, "issues": None, **expected}, record)
        sent = upstream.seen(request.node.name)[-1]
        assert credential in str(sent.headers)
        assert credential not in json.dumps(record)
        first = record["timing"]["time_to_first_token_ms"]
        assert (first is not None) == record["stream"]
        return record

    return check


# --- Anthropic ------------------------------------------------------------------------------------------------------

CLAUDE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929", "stop_sequence": None}


@pytest.fixture
def claude(gateway):
    with anthropic.Anthropic(base_url=f"http://{gateway.proxy}", api_key=KEY, max_retries=0) as client:
        yield client


def test_anthropic(claude, call, traced):
    usage = {"input_tokens": 12, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 30, "output_tokens": 9}
    content = [
        {"type": "thinking", "thinking": "They greet me.", "signature": "c2ln"},
        {"type": "text", "text": "Bonjour"},
        {"type": "tool_use", "id": "toolu_1", "name": "wave", "input": {"hands": 2}},
    ]
    headers = call(answer({**CLAUDE, "content": content, "stop_reason": "tool_use", "usage": usage}))
    done = claude.messages.create(
        model="claude-sonnet-4-5",
        max_tokens=100,
        system="Be brief.",
        messages=[{"role": "user", "content": "Say hello"}],
        extra_body={"temperature": 0.5},
        extra_headers=headers,
    )
    assert done.content[1].text == "Bonjour"
    record = traced(
        {
            "provider": "anthropic",
            "dialect": "anthropic_messages",
            "operation": "chat",
            "stream": False,
            "request": {"model": "claude-sonnet-4-5", "message_count": 1, "params": {"temperature": 0.5, "max_tokens": 100}},
            "response": {
                "id": "msg_1",
                "model": "claude-sonnet-4-5-20250929",
                "text": "Bonjour",
                "reasoning": "They greet me.",
                "finish_reasons": ["tool_use"],
            },
            "usage": {"input": 142, "output": 9, "total": 151, "cache_read": 30, "cache_write": 100},
        }
    )
    (tool,) = record["response"]["tool_calls"]
    assert (tool["id"], tool["name"], json.loads(tool["arguments"])) == ("toolu_1", "wave", {"hands": 2})
    assert record["cost"]["total"] > 0


def test_anthropic_stream(claude, call, traced):
    started = {**CLAUDE, "content": [], "stop_reason": None, "usage": {"input_tokens": 12, "output_tokens": 1}}
    text = lambda piece: ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}})
    reply = events(
        ("message_start", {"type": "message_start", "message": started}),
        ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ("ping", {"type": "ping"}),
        text("Bon"),
        text("jour"),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 4}}),
        ("message_stop", {"type": "message_stop"}),
    )
    body = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Say hello"}]}
    with claude.messages.stream(**body, extra_headers=call(reply)) as stream:
        assert "".join(stream.text_stream) == "Bonjour"
    traced(
        {
            "dialect": "anthropic_messages",
            "stream": True,
            "response": {"id": "msg_1", "text": "Bonjour", "finish_reasons": ["end_turn"]},
            "usage": {"input": 12, "output": 4, "total": 16},
        }
    )


def test_anthropic_count_tokens(claude, call, traced):
    headers = call(answer({"input_tokens": 14}))
    body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Say hello"}]}
    assert claude.messages.count_tokens(**body, extra_headers=headers).input_tokens == 14
    traced({"operation": "count_tokens", "request": {"model": "claude-sonnet-4-5"}, "usage": {"input": 14, "output": None}})


# --- Gemini ---------------------------------------------------------------------------------------------------------


def gemini(gateway, headers: dict[str, str]) -> genai.Client:
    options = types.HttpOptions(base_url=f"http://{gateway.proxy}", headers=headers)
    return genai.Client(api_key=KEY, vertexai=False, http_options=options)


def candidate(text: str, **more) -> dict:
    return {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **more}]}


USAGE = {"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 3, "thoughtsTokenCount": 20, "totalTokenCount": 33}
GEMINI = {
    "provider": "gemini",
    "dialect": "gemini_generate",
    "operation": "chat",
    "request": {"model": "gemini-2.5-flash", "message_count": 1},
    "response": {"id": "r1", "model": "gemini-2.5-flash", "text": "Bonjour", "finish_reasons": ["STOP"]},
    "usage": {"input": 10, "output": 23, "total": 33, "cache_read": 4, "reasoning": 20},
}


def test_gemini(gateway, call, traced):
    whole = {**candidate("Bonjour", finishReason="STOP"), "usageMetadata": USAGE, "modelVersion": "gemini-2.5-flash", "responseId": "r1"}
    client = gemini(gateway, call(answer(whole)))
    config = types.GenerateContentConfig(system_instruction="Be brief.", temperature=0.5, max_output_tokens=100)
    done = client.models.generate_content(model="gemini-2.5-flash", contents="Say hello", config=config)
    assert done.text == "Bonjour"
    record = traced({**GEMINI, "stream": False})
    assert_facts({"temperature": 0.5, "max_tokens": 100}, record["request"]["params"])


def test_gemini_stream(gateway, call, traced):
    told = {"modelVersion": "gemini-2.5-flash", "responseId": "r1"}
    first = {**candidate("Bon"), "usageMetadata": {"promptTokenCount": 10, "totalTokenCount": 10}, **told}
    last = {**candidate("jour", finishReason="STOP"), "usageMetadata": USAGE, **told}
    client = gemini(gateway, call(events(first, last, end="\r\n\r\n")))
    pieces = client.models.generate_content_stream(model="gemini-2.5-flash", contents="Say hello")
    assert "".join(piece.text for piece in pieces) == "Bonjour"
    traced({**GEMINI, "stream": True})


# --- Cohere ---------------------------------------------------------------------------------------------------------

BILL = {"billed_units": {"input_tokens": 5, "output_tokens": 2}, "tokens": {"input_tokens": 60, "output_tokens": 3}}
COHERE = {
    "provider": "cohere",
    "dialect": "cohere_chat_v2",
    "operation": "chat",
    "request": {"model": "command-a-03-2025", "message_count": 1},
    "response": {"id": "c1", "text": "Bonjour", "finish_reasons": ["COMPLETE"], "extra": {"billed_units": BILL["billed_units"]}},
    "usage": {"input": 60, "output": 3, "total": 63},
}
HELLO = {"model": "command-a-03-2025", "messages": [{"role": "user", "content": "Say hello"}]}


@pytest.fixture
def command(gateway):
    return cohere.ClientV2(api_key=KEY, base_url=f"http://{gateway.proxy}")


def test_cohere(command, call, traced):
    message = {"role": "assistant", "content": [{"type": "text", "text": "Bonjour"}]}
    headers = call(answer({"id": "c1", "finish_reason": "COMPLETE", "message": message, "usage": BILL}))
    done = command.chat(**HELLO, request_options={"additional_headers": headers})
    assert done.message.content[0].text == "Bonjour"
    traced({**COHERE, "stream": False})


def test_cohere_stream(command, call, traced):
    content = lambda piece: ("content-delta", {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": piece}}}})
    reply = events(
        ("message-start", {"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant", "content": []}}}),
        ("content-start", {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}),
        content("Bon"),
        content("jour"),
        ("content-end", {"type": "content-end", "index": 0}),
        ("message-end", {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": BILL}}),
    )
    pieces = command.chat_stream(**HELLO, request_options={"additional_headers": call(reply)})
    text = "".join(piece.delta.message.content.text for piece in pieces if piece.type == "content-delta")
    assert text == "Bonjour"
    traced({**COHERE, "stream": True})


def test_cohere_rerank(command, call, traced):
    results = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
    headers = call(answer({"id": "r1", "results": results, "meta": {"billed_units": {"search_units": 1}}}))
    body = {"model": "rerank-v3.5", "query": "capital", "documents": ["Rome", "Paris"]}
    done = command.rerank(**body, request_options={"additional_headers": headers})
    assert done.results[0].index == 1
    traced({"dialect": "rerank", "operation": "rerank", "request": {"model": "rerank-v3.5"}, "usage": {"input": None, "output": None}})


# --- Bedrock --------------------------------------------------------------------------------------------------------

MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
BEDROCK = {
    "provider": "bedrock",
    "operation": "chat",
    "request": {"model": MODEL, "message_count": 1},
    "response": {"text": "Bonjour", "finish_reasons": ["end_turn"]},
    "usage": {"input": 12, "output": 4, "total": 16},
}


@pytest.fixture
def bedrock(gateway):
    """A client, and a way to give it the headers of a call before it signs them."""
    made = boto3.client(
        "bedrock-runtime",
        endpoint_url=f"http://{gateway.proxy}",
        region_name="eu-west-1",
        aws_access_key_id="AKIATEST",
        aws_secret_access_key=KEY,
        config=Config(retries={"total_max_attempts": 1}),
    )

    def tagged(headers: dict[str, str]):
        def add(request, **_):
            for name, value in headers.items():
                request.headers[name] = value

        made.meta.events.register("before-sign.bedrock-runtime.*", add)
        return made

    yield tagged
    made.close()


ASK = {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": "Say hello"}]}], "inferenceConfig": {"maxTokens": 100}}


def test_bedrock_converse(bedrock, call, traced):
    message = {"role": "assistant", "content": [{"text": "Bonjour"}]}
    usage = {"inputTokens": 12, "outputTokens": 4, "totalTokens": 16}
    whole = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 300}}
    done = bedrock(call(answer(whole))).converse(**ASK)
    assert done["output"]["message"]["content"][0]["text"] == "Bonjour"
    traced({**BEDROCK, "dialect": "bedrock_converse", "stream": False}, credential="AKIATEST")


def test_bedrock_converse_stream(bedrock, call, traced):
    text = lambda piece: ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}})
    reply = frames(
        ("messageStart", {"role": "assistant"}),
        text("Bon"),
        text("jour"),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": {"inputTokens": 12, "outputTokens": 4, "totalTokens": 16}, "metrics": {"latencyMs": 300}}),
    )
    stream = bedrock(call(reply)).converse_stream(**ASK)["stream"]
    pieces = [event["contentBlockDelta"]["delta"]["text"] for event in stream if "contentBlockDelta" in event]
    assert "".join(pieces) == "Bonjour"
    traced({**BEDROCK, "dialect": "bedrock_converse", "stream": True}, credential="AKIATEST")


def test_bedrock_invoke_stream(bedrock, call, traced):
    def chunk(value: dict) -> tuple[str, dict]:
        return "chunk", {"bytes": base64.b64encode(json.dumps(value).encode()).decode()}

    started = {"id": "msg_1", "model": "claude-sonnet-4-5", "usage": {"input_tokens": 12, "output_tokens": 1}}
    metrics = {"inputTokenCount": 12, "outputTokenCount": 4, "invocationLatency": 300, "firstByteLatency": 100}
    reply = frames(
        chunk({"type": "message_start", "message": started}),
        chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Bonjour"}}),
        chunk({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}),
        chunk({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}),
    )
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": [{"role": "user", "content": "Say hello"}]}
    stream = bedrock(call(reply)).invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(body))["body"]
    assert len([event for event in stream if "chunk" in event]) == 4
    traced({**BEDROCK, "dialect": "bedrock_invoke", "stream": True}, credential="AKIATEST")


# --- Ollama ---------------------------------------------------------------------------------------------------------


def test_ollama_stream(gateway, call, traced):
    piece = lambda text, **more: {"model": "llama3.2", "message": {"role": "assistant", "content": text}, "done": False, **more}
    last = piece("", done=True, done_reason="stop", prompt_eval_count=11, eval_count=2, total_duration=300, eval_duration=200)
    headers = {**call(lines(piece("Bon"), piece("jour"), last)), "authorization": f"Bearer {KEY}"}
    client = ollama.Client(host=f"http://{gateway.proxy}", headers=headers)
    pieces = client.chat(model="llama3.2", messages=[{"role": "user", "content": "Say hello"}], stream=True, options={"num_predict": 9})
    assert "".join(piece.message.content for piece in pieces) == "Bonjour"
    traced(
        {
            "provider": "ollama",
            "dialect": "ollama_chat",
            "operation": "chat",
            "stream": True,
            "request": {"model": "llama3.2", "message_count": 1, "params": {"max_tokens": 9}},
            "response": {"model": "llama3.2", "text": "Bonjour", "finish_reasons": ["stop"]},
            "usage": {"input": 11, "output": 2, "total": 13},
        }
    )
