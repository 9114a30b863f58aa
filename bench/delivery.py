#!/usr/bin/env python3
"""Measures the pipeline behind a call's end and writes its section of docs/performance.md.

    bench/delivery.py [--records N] [--seconds S] [--no-build] [--output FILE]

Twice: an engine by itself, as fast as it goes (crates/export/benches/delivery.rs), and the gateway at 1,000 calls a
second, with a receiver that takes everything and with none.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

from processes import LOADGEN, ROOT, TARGET, Gateway, build, cpu_by_thread, free_port, memory_mib, put, until

TITLE = "## The pipeline"
PATH = "/json4k/v1/chat/completions"
RATE = 1000
AIM = 20_000


def measure(seconds: float, records: int = 40_000) -> dict:
    """All figures: those of the bench by case, those of the gateway under `taken` and `down`."""
    # Not in memory: bytes that reach a disk are counted.
    with tempfile.TemporaryDirectory(prefix="delivery-", dir=TARGET) as folder:
        found = alone(Path(folder), records)
        seconds = max(10.0, 3 * seconds)
        found["taken"] = gateway(Path(folder) / "taken", seconds, True)
        found["down"] = gateway(Path(folder) / "down", 3 * seconds, False)
    return found


def sink() -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen([LOADGEN, "sink", "127.0.0.1:0", "ok"], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().split()[1]


def alone(folder: Path, records: int) -> dict:
    process, address = sink()
    try:
        command = ["cargo", "bench", "--quiet", "-p", "ai-tracing-export", "--bench", "delivery", "--", address, folder, str(records)]
        out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    finally:
        process.terminate()
        process.wait(10)
    return {case["case"]: case for case in map(json.loads, out.splitlines())}


def gateway(folder: Path, seconds: float, taken: bool) -> dict:
    """A gateway at a fixed rate: CPU time of its threads and memory."""
    upstream = subprocess.Popen([LOADGEN, "upstream", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    receiver, address = sink() if taken else (None, f"127.0.0.1:{free_port()}")
    proxy = Gateway(folder)
    try:
        plugin = {"otlp_endpoint": f"http://{address}", "log_level": "error"}
        proxy.serve("llm", "http://" + upstream.stdout.readline().split()[1], plugin=plugin)
        export = lambda: proxy.request("GET", "/status", address=proxy.status).json()["ai_tracing"]["export"]
        load(proxy, 2)
        before = cpu_by_thread(proxy.process.pid)
        began = time.monotonic()
        result = load(proxy, seconds)
        took = time.monotonic() - began
        cpu = {name: (spent - before.get(name, 0)) / took for name, spent in cpu_by_thread(proxy.process.pid).items()}
        if taken:
            until(lambda: all(d["offered"] == d["delivered"] for d in export()["destinations"]), 120, "everything delivered")
        told = export()
        lost = sum(sum(d["dropped"].values()) for d in told["destinations"]) + sum(v for k, v in told["sink"].items() if k.startswith("dropped"))
        return {"cpu": cpu, "rss": memory_mib(proxy.process.pid, "VmHWM"), "lost": lost, "waiting": max(d["waiting"] for d in told["destinations"]), **result}
    finally:
        proxy.kill()
        for process in filter(None, (upstream, receiver)):
            process.terminate()
            process.wait(10)


def load(proxy: Gateway, seconds: float) -> dict:
    out = subprocess.run([LOADGEN, "load", proxy.proxy, PATH, str(RATE), str(seconds), "16"], capture_output=True, text=True, check=True).stdout
    return json.loads(out)


def section(found: dict) -> str:
    """The section of the report."""
    read, spool, deliver, memory = (found[name] for name in ("read", "spool", "deliver", "memory"))
    cpu = lambda case: case["cpu_seconds"] / case["records"] * 1e6
    spooling = cpu(spool) - cpu(read)
    size = spool["spooled_bytes"] / spool["records"]
    rate = lambda microseconds: 1e6 / microseconds
    without_reading = cpu(deliver) - cpu(read)
    taken, down = found["taken"], found["down"]
    pipeline = lambda run: sum(share for name, share in run["cpu"].items() if not name.startswith(("proxy", "tokio", "ai-tracing")) or name.startswith("ai-tracing-engi"))
    lost = sum(found[name]["lost"] for name in found)
    names = {"ai-tracing-engi": "engine (reading, spool, encoding, sending)", "local-store": "local store"}
    threads = sorted(taken["cpu"].items(), key=lambda item: -item[1])
    out = [
        TITLE, "",
        f"What happens to a call after its end: read, written to the spool, encoded as OTLP in both conventions, compressed, sent. Calls of 4 KiB (a record of {size:,.0f} bytes in the spool); `bench/delivery.py`, which `make bench` runs as well. All of it is one thread, so that per core and per thread are the same; CPU time counts, with that of the spool's sync thread.",
        "",
        "| an engine by itself | CPU µs/record | records/s and core |", "|---|---:|---:|",
        f"| reading alone | {cpu(read):.1f} | {rate(cpu(read)):,.0f} |",
        f"| reading, spool | {cpu(spool):.1f} | {rate(cpu(spool)):,.0f} |",
        f"| reading, spool, OTLP to a local sink | {cpu(deliver):.1f} | {rate(cpu(deliver)):,.0f} |",
        f"| reading, OTLP to a local sink, no spool | {cpu(memory):.1f} | {rate(cpu(memory)):,.0f} |",
        "",
        f"| the gateway at {RATE:,} calls a second | receiver takes everything | receiver down |", "|---|---:|---:|",
        *(f"| {names.get(name, name)}, share of a core | {share:.1%} | {down['cpu'].get(name, 0):.1%} |" for name, share in threads if share >= 0.001),
        f"| latency p50 / p99, µs | {taken['p50_us']:.0f} / {taken['p99_us']:.0f} | {down['p50_us']:.0f} / {down['p99_us']:.0f} |",
        f"| RSS at most, MiB | {taken['rss']:.0f} | {down['rss']:.0f} ({down['waiting']:,} records waited) |",
        "",
        "| aim | measured |", "|---|---|",
        f"| {AIM:,} records/s and core through spool and encoder to a local sink | {rate(without_reading):,.0f} (with the reading of the call: {rate(cpu(deliver)):,.0f}) |",
        f"| spool | {size / spooling:,.0f} MB/s of CPU time |",
        f"| bytes written to disk per byte recorded | {spool['disk_bytes'] / spool['spooled_bytes']:.2f}, with delivery and its cursors {deliver['disk_bytes'] / deliver['spooled_bytes']:.2f} |",
        f"| RSS during an outage below 150 MiB | {down['rss']:.0f} MiB |",
        f"| the pipeline's share of a core at {RATE:,} calls/s | {pipeline(taken):.1%} |",
        "",
        f"Lost: {lost:,}.",
        "",
    ]  # fmt: skip
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=40_000, help="of each run of an engine by itself")
    parser.add_argument("--seconds", type=float, default=5, help="a third of the shorter run of the gateway")
    parser.add_argument("--no-build", action="store_true", help="measure the binaries that are there")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "performance.md")
    arguments = parser.parse_args()
    if not arguments.no_build:
        build()
    text = section(measure(arguments.seconds, arguments.records))
    arguments.output.write_text(put(arguments.output.read_text(), text))
    print(text)


if __name__ == "__main__":
    main()
