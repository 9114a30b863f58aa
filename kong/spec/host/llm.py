#!/usr/bin/env python3
"""An LLM and a Langfuse in one, for the integration spec: prints its port, then serves until its stdin is closed.

`POST /v1/chat/completions` answers, streamed where asked for; `POST /api/public/ingestion` takes batches;
`GET /seen` has the events of all batches, and the headers of all calls.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}
WHOLE = {
    "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4-0613", "usage": USAGE,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there"}, "finish_reason": "stop"}],
}  # fmt: skip
EVENTS = [
    {"id": "chatcmpl-2", "object": "chat.completion.chunk", "model": "gpt-4-0613", "choices": [{"index": 0, "delta": {"content": text}}]}
    for text in ("Hello", " there")
] + [{"id": "chatcmpl-2", "object": "chat.completion.chunk", "model": "gpt-4-0613", "choices": [], "usage": USAGE}]
STREAM = "".join(f"data: {json.dumps(event)}\n\n" for event in EVENTS) + "data: [DONE]\n\n"
seen = {"events": [], "calls": []}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body: bytes, kind: str = "application/json", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(json.dumps(seen).encode())

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/api/public/ingestion":
            seen["events"] += body["batch"]
            successes = [{"id": event["id"], "status": 201} for event in body["batch"]]
            self.answer(json.dumps({"successes": successes, "errors": []}).encode(), status=207)
        else:
            seen["calls"].append(dict(self.headers))
            self.answer(*((STREAM.encode(), "text/event-stream") if body.get("stream") else (json.dumps(WHOLE).encode(),)))

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
