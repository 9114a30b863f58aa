#!/usr/bin/env python3
"""Measures the console's API on a local store of a million calls and writes its section of docs/performance.md.

    bench/console.py [--calls N] [--rounds N] [--output FILE] [--folder DIR]

The store is written as a file of version 1, whose tables need nothing but plain SQLite; the gateway brings it up
to date and indexes its words while it runs, both of which are measured on the way. Each question is then asked over HTTP
as the page asks it, one after the other, on a machine that does nothing else. A folder that is named is kept, and its
store asked again the next time (20 days at most, or it grows too old): that takes a minute or two.
"""

import argparse
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
IS_BUILT = "AI_TRACING_BIN" in os.environ
os.environ.setdefault("AI_TRACING_BIN", str(TARGET / "release" / "ai-tracing"))
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from gateway import Gateway, until  # noqa: E402

HEADING = "## The console on a large store\n"
LIMIT_MS = 200
DAYS = 20
MODELS = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3-mini", "claude-sonnet-4", "mistral-large", "llama-3.3-70b", "command-r"]
PROVIDERS = ["openai", "azure", "anthropic", "mistral", "groq"]
WORDS = [f"word{n}" for n in range(20_000)]
# Half of all words are these: the ones that a search finds in almost every call.
COMMON = "the a of to and in is for on with that invoice order customer answer please".split()


def sentences(rng: random.Random) -> list[str]:
    """Ten words each; texts are put together from them, because drawing each word takes minutes."""
    word = lambda: rng.choice(COMMON) if rng.random() < 0.5 else rng.choice(WORDS)
    return [" ".join(word() for _ in range(10)) for _ in range(20_000)]


# What is asked for, as the page asks it.
LISTS = {
    "newest calls": "calls",
    "a page far down": "calls?cursor={far}",
    "one user": "calls?user=user-77",
    "one session": "calls?session=s-4242",
    "a session of 100,000 calls": "calls?session=s-huge&order=oldest",
    "one model": "calls?model=gpt-4.1",
    "models by pattern": "calls?model=gpt-4*",
    "a model that nobody used": "calls?model=none",
    "one provider": "calls?provider=groq",
    "one project": "calls?project=project-3",
    "errors only": "calls?errors=true",
    "status 429": "calls?status=429",
    "status 418, of which there is none": "calls?status=418",
    "slower than 50 s, which few are": "calls?slower_than=50s",
    "first token after 15 s, which few are": "calls?first_token_slower_than=15s",
    "a delivery that failed, of which there is none": "calls?delivery=failed",
    "an hour ten days ago": "calls?since={ten}&until={ten_end}",
    "a common word": "calls?search=invoice",
    "a rare word": "calls?search=word12345",
    "two words, one user": "calls?search=invoice%20word77&user=user-77",
    "a common word ten days ago": "calls?search=invoice&since={ten}&until={ten_end}",
    "a word that is nowhere": "calls?search=nowhere",
    "the beginning of 111 words": "calls?search=word125*",
    "the beginning of 111 words, errors": "calls?search=word125*&errors=true",
    "a phrase": "calls?search=%22invoice%20customer%22",
    "errors of one user, slow": "calls?user=user-77&errors=true&slower_than=2s",
    "one call": "calls/{id}",
    "the calls of a trace": "calls?trace={trace}&order=oldest",
}
SUMS = {
    "overview of an hour": "overview?since={hour}&until={now}",
    "overview of a day": "overview?since={day}&until={now}",
    "overview of a day, one word": "overview?since={day}&until={now}&search=invoice",
    "overview of everything": "overview?since={begin}&until={now}",
    "users of a day": "users?since={day}&until={now}",
    "users of everything": "users",
    "a phrase of the most common words, which is nowhere": "calls?search=%22the%20the%20the%20the%20a%20a%20a%20of%22",
    "sessions": "sessions",
    "totals of a session of 100,000 calls": "sessions/s-huge",
}


def record(n: int, started: float, rng: random.Random, said: list[str]) -> tuple:
    """One call: its columns in the order of the table, the record's JSON last."""
    failed = rng.random() < 0.03
    stream = rng.random() < 0.5
    model, provider = MODELS[n % len(MODELS)], PROVIDERS[n % len(PROVIDERS)]
    session = "s-huge" if n % 10 == 3 else f"s-{n // 12}"
    user = f"user-{rng.randrange(5_000)}"
    tokens = (rng.randrange(20, 6_000), rng.randrange(1, 900))
    duration = rng.expovariate(1 / 2_500) + 20
    say = lambda count: " ".join(rng.choices(said, k=count))
    call_id, trace_id = str(uuid.UUID(int=(int(started * 1000) << 80) | 0x7000 << 64 | 0x8000 << 48 | n)), f"{rng.getrandbits(128):032x}"
    micros = int(started * 1_000_000)
    at = datetime.fromtimestamp(micros / 1e6, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    status, cost = (429 if failed else 200), None if failed else tokens[1] * 1e-5
    project = f"project-{n % 20}"
    ttft = duration / 4 if stream else None
    body = {
        "id": call_id, "detected": True, "schema_version": 1, "provider": provider, "dialect": "openai_chat", "operation": "chat",
        "stream": stream, "status": status, "trace_id": trace_id, "span_id": trace_id[:16], "parent_span_id": None, "tracestate": None,
        "name": "/v1/chat/completions", "method": "POST", "service": "llm", "route": "chat", "consumer": None,
        "server": {"address": "llm.test", "port": 443},
        "context": {"user_id": user, "session_id": session, "chat_id": None, "message_id": None, "organization_id": "acme",
                    "project_id": project, "environment": "production", "metadata": {}},
        "request": {"model": model, "message_count": 2, "params": {}, "stream": stream,
                    "messages": [{"role": "system", "content": say(1)}, {"role": "user", "content": say(4)}]},
        "response": {"id": None, "model": model, "text": say(6), "reasoning": None, "refusal": None, "tool_calls": [],
                     "finish_reasons": ["stop"], "embedding_dims": None},
        "usage": {"input": tokens[0], "output": tokens[1], "total": sum(tokens), "cache_read": 0, "cache_write": None, "reasoning": None},
        "tokens_estimated": False, "token_efficiency": None, "prompt_length": 300, "response_length": 400,
        "cost": None if cost is None else {"input": 0.0, "output": cost, "total": cost},
        "timing": {"started_at": at, "total_duration_ms": duration, "time_to_first_token_ms": ttft, "time_per_token_ms": None,
                   "throughput_tokens_per_second": None, "upstream_ms": None, "gateway_ms": None},
        "end": "complete", "error": None,
    }
    return (call_id, trace_id, micros, "/v1/chat/completions", "llm", "chat", provider, model, model, "chat", stream, user, session,
            None, "acme", project, "production", status, "complete", failed, False, tokens[0], 0, tokens[1], None, False, ttft,
            duration, None, cost, json.dumps(body, separators=(",", ":")))


def fill(path: Path, count: int) -> float:
    """A file as version 1 wrote it; the average length of its records in bytes."""
    rng = random.Random(1)
    now = time.time() - 60
    step = DAYS * 86_400 / count
    connection = sqlite3.connect(path)
    connection.executescript("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")
    connection.executescript((ROOT / "crates/gateway/src/calls/v1.sql").read_text())
    connection.execute("PRAGMA user_version = 1")
    values = ", ".join("?" * 31)
    columns = """id, trace_id, started_at, name, service, route, provider, model, response_model, operation, stream, user_id,
        session_id, chat_id, organization_id, project_id, environment, status, end, is_error, has_error, tokens_in, tokens_cached,
        tokens_out, tokens_reasoning, estimated, ttft_ms, duration_ms, tps, cost, record"""
    with connection:
        said = sentences(rng)
        rows = (record(n, now - (count - n) * step, rng, said) for n in range(count))
        connection.executemany(f"INSERT INTO calls ({columns}) VALUES ({values})", rows)
    average = connection.execute("SELECT avg(length(record)) FROM calls").fetchone()[0]
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return average


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def ask(gateway: Gateway, path: str) -> tuple[float, dict]:
    began = time.perf_counter()
    reply = gateway.request("GET", f"/api/v1/{path}", address=gateway.console, timeout=120)
    took = (time.perf_counter() - began) * 1e3
    assert reply.status == 200, f"{path}: {reply.status} {reply.body[:300]!r}"
    return took, reply.json()


def table(title: str, results: dict[str, list[float]]) -> str:
    lines = [f"| {title} | p50 | p95 |", "|---|---:|---:|"]
    for name, times in results.items():
        lines.append(f"| {name} | {statistics.median(times):.1f} ms | {percentile(times, 0.95):.1f} ms |")
    return "\n".join(lines) + "\n"


def cpu(gateway: Gateway) -> float:
    """CPU time of the store's writer so far, in seconds: the clock also counts what others do."""
    for task in Path(f"/proc/{gateway.process.pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "local-store":
            return int((task / "schedstat").read_text().split()[0]) / 1e9
    raise KeyError("local-store")


def build(folder: Path, count: int) -> dict:
    """Writes the store and has it brought up to date; how long that took, in seconds of the clock and of the CPU."""
    data = folder / "data"
    data.mkdir(parents=True)
    print(f"writing {count:,} calls", file=sys.stderr)
    built = {"calls": count, "average": fill(data / "traces.db", count)}
    began = time.perf_counter()
    gateway = serve(folder)
    try:
        # It serves at once, and brings the store up to date meanwhile.
        until(lambda: is_ready(gateway), 1800, "a store that is up to date")
        built["migrated"], built["migrated_cpu"] = time.perf_counter() - began, cpu(gateway)
        print(f"migrated in {built['migrated']:.0f} s; indexing", file=sys.stderr)
        # The newest are indexed first, so the oldest call's word tells the end.
        oldest = ask(gateway, "calls?order=oldest&limit=1")[1]["calls"][0]
        word = next(word for word in ask(gateway, f"calls/{oldest['id']}")[1]["record"]["response"]["text"].split() if word.startswith("word"))
        until(lambda: any(call["id"] == oldest["id"] for call in ask(gateway, f"calls?search={word}&order=oldest&limit=1")[1]["calls"]), 3600, "an indexed store")
        built["indexed"] = time.perf_counter() - began - built["migrated"]
        built["indexed_cpu"] = cpu(gateway) - built["migrated_cpu"]
        print(f"indexed in {built['indexed']:.0f} s", file=sys.stderr)
    finally:
        gateway.stop()
    (folder / "built.json").write_text(json.dumps(built))
    return built


def serve(folder: Path) -> Gateway:
    # It says its addresses there, as the one before did.
    (folder / "stdout").unlink(missing_ok=True)
    return Gateway(folder, "--upstream", "http://127.0.0.1:9", "--retention-size", str(1 << 40), data_dir=folder / "data")


def is_ready(gateway: Gateway) -> bool:
    return gateway.request("GET", "/api/v1/calls?limit=1", address=gateway.console).status == 200


def measure(folder: Path, count: int, rounds: int) -> tuple[str, bool]:
    kept = folder / "built.json"
    built = json.loads(kept.read_text()) if kept.exists() else build(folder, count)
    count, data = built["calls"], folder / "data"
    gateway = serve(folder)
    try:
        until(lambda: is_ready(gateway), 1800, "a store that is up to date")
        newest = ask(gateway, "calls?limit=1")[1]["calls"][0]
        now = datetime.fromisoformat(newest["started_at"].replace("Z", "+00:00")).timestamp() + 1
        middle = now - DAYS / 2 * 86_400
        at = lambda seconds: datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        words = {
            "far": f"{int(middle * 1e6)}.{count}", "id": newest["id"], "trace": newest["trace_id"], "ten": at(middle), "ten_end": at(middle + 3600),
            "now": at(now), "hour": at(now - 3600), "day": at(now - 86_400), "begin": at(now - 30 * 86_400),
        }
        lists, sums = {name: [] for name in LISTS}, {name: [] for name in SUMS}
        for _ in range(rounds):
            for name, path in LISTS.items():
                lists[name].append(ask(gateway, path.format(**words))[0])
        for _ in range(max(3, rounds // 10)):
            for name, path in SUMS.items():
                sums[name].append(ask(gateway, path.format(**words))[0])
        memory = gateway.memory() / (1 << 20)
    finally:
        gateway.stop()
    size = sum(file.stat().st_size for file in data.glob("traces.db*")) / (1 << 30)
    everything = [took for times in lists.values() for took in times]
    worst = max(percentile(times, 0.95) for times in lists.values())
    text = f"""{HEADING}
{count:,} calls of {built['average'] / 1e3:.1f} KB in the local store ({size:.1f} GiB with its indexes), asked over HTTP as the page asks, {rounds} times
each: `bench/console.py`, which `make bench` runs as well. A file of version 1 of that size was brought up to date in
{built['migrated']:.0f} s ({built['migrated_cpu']:.0f} s of CPU time) while the gateway served, and its words were indexed in the {built['indexed']:.0f} s ({built['indexed_cpu']:.0f} s) after that.
The gateway's memory peaked at {memory:.0f} MiB.

Lists and filters: p95 {percentile(everything, 0.95):.0f} ms over all of them, {worst:.0f} ms for the slowest (aim: below {LIMIT_MS} ms). A list that finds nothing
in reach answers within the same time and says how far it has looked; the page goes on from there.

{table("lists and filters", lists)}
Sums read each of their calls. So does, in the index of words, the search for a phrase whose words stand in all calls.

{table("sums", sums)}"""
    return text, worst < LIMIT_MS


def put(report: str, section: str) -> str:
    """The report with this section in place of the one that it has, or at its end."""
    before, _, rest = report.partition(HEADING)
    _, heading, after = rest.partition("\n## ")
    return before.rstrip("\n") + "\n\n" + section + heading + after


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "performance.md")
    parser.add_argument("--folder", type=Path, help="where to keep the store; a temporary folder by default")
    arguments = parser.parse_args()
    if not IS_BUILT:
        subprocess.run(["cargo", "build", "--release", "--quiet", "--bin", "ai-tracing"], cwd=ROOT, check=True)
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="ai-tracing-bench-"))
    try:
        text, in_time = measure(folder, arguments.calls, arguments.rounds)
    finally:
        if not arguments.folder:
            shutil.rmtree(folder, ignore_errors=True)
    print(text)
    arguments.output.write_text(put(arguments.output.read_text(), text))
    return 0 if in_time else 1


if __name__ == "__main__":
    sys.exit(main())
