#!/usr/bin/env python3
"""Measures the engine by itself and writes its section of docs/performance.md, which `bench/run.py` takes over.

    bench/engine.py [--seconds S] [--no-run] [--output FILE]

Criterion measures (crates/core/benches/reading.rs); this turns what it left in target/criterion into tables. With
--no-run the figures of the last run are used.
"""

import argparse
import json
import subprocess
from pathlib import Path

from processes import ROOT, TARGET, put

CRITERION = TARGET / "criterion"
TITLE = "## The engine by itself"

FRAMINGS = ["server-sent events", "NDJSON", "JSON array", "NUL-delimited JSON", "AWS event stream"]
EVENTS = ["framing alone", "full record"]
SIZES = ["1 KiB", "16 KiB", "512 KiB"]
FORMS = ["JSON", "server-sent events"]
HEADS = [
    "none, short path", "none, path of 240 bytes", "none, near miss", "none, known host",
    "chat", "chat, unknown host", "embeddings, Azure",
]  # fmt: skip


def measure(seconds: float) -> None:
    """Runs all benches."""
    command = ["cargo", "bench", "--quiet", "-p", "ai-tracing-core", "--bench", "reading", "--"]
    # The default of 100 samples and 3 s of warming up says nothing more here.
    times = ["--noplot", "--sample-size", "20", "--warm-up-time", "1", "--measurement-time", f"{seconds:g}"]
    subprocess.run(command + times, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def samples() -> dict[str, tuple[float, dict]]:
    """By full name of the bench: the median in ns, and what went through in it."""
    found = {}
    for file in CRITERION.glob("**/new/benchmark.json"):
        bench = json.loads(file.read_text())
        estimates = json.loads(file.with_name("estimates.json").read_text())
        found[bench["full_id"]] = (estimates["median"]["point_estimate"], bench["throughput"] or {})
    return found


def section() -> str:
    """The section of the report."""
    found = samples()

    def speed(name: str) -> float:
        nanoseconds, through = found[name]
        return through["Bytes"] * 1000 / nanoseconds

    def event(name: str) -> float:
        nanoseconds, through = found[f"event/{name}"]
        return nanoseconds / through["Elements"]

    nanoseconds = {head: found[f"detection/{head}"][0] for head in HEADS}
    framings = {kind: speed(f"framing/{kind}") for kind in FRAMINGS}
    records = {(form, size): speed(f"record/{form}/{size}") for form in FORMS for size in SIZES}
    declined = max(time for head, time in nanoseconds.items() if head.startswith("none"))
    out = [
        TITLE,
        "",
        "Without a network, one thread, by criterion: `bench/engine.py`, which `make bench` runs as well. Events are chat chunks of 300 bytes; bodies come in pieces of 16 KiB; the median counts.",
        "",
        "| server-sent events | ns/event |",
        "|---|---:|",
        *(f"| {name} | {event(name):.0f} |" for name in EVENTS),
        "",
        "| framing | MB/s |",
        "|---|---:|",
        *(f"| {name} | {speed:,.0f} |" for name, speed in framings.items()),
        "",
        "| full record of a chat, request and response together, MB/s | " + " | ".join(SIZES) + " |",
        "|---|" + "---:|" * len(SIZES),
        *(f"| {form} | " + " | ".join(f"{records[form, size]:,.0f}" for size in SIZES) + " |" for form in FORMS),
        "",
        "| detection | ns |",
        "|---|---:|",
        *(f"| {name} | {time:,.0f} |" for name, time in nanoseconds.items()),
        "",
        "| aim | measured |",
        "|---|---|",
        f"| an event of 300 bytes read in full in at most 1 µs | {event('full record') / 1000:.2f} µs |",
        f"| framing at 400 MB/s or more | {min(framings.values()):,.0f} MB/s (slowest) |",
        f"| full chat records at 150 MB/s or more | {min(records.values()):,.0f} MB/s (slowest), {max(records.values()):,.0f} MB/s (fastest) |",
        f"| no to other traffic in less than 1 µs | {declined:,.0f} ns (slowest) |",
        "",
    ]
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3, help="of each bench")
    parser.add_argument("--no-run", action="store_true", help="use the figures of the last run")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "performance.md")
    arguments = parser.parse_args()
    if not arguments.no_run:
        measure(arguments.seconds)
    text = section()
    arguments.output.write_text(put(arguments.output.read_text(), text))
    print(text)


if __name__ == "__main__":
    main()
