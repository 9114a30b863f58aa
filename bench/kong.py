#!/usr/bin/env python3
"""Measures what the Kong plugin costs nginx with Lua, and writes its section of docs/performance.md.

    bench/kong.py [--rounds N] [--seconds S] [--output FILE] [--library FOLDER]

The host is the tests' (`kong/spec/host`): Debian's nginx with its Lua module, one worker, which calls the phases as Kong
does. It has one core to itself; upstream, sink and wrk share the rest. What counts is the CPU time of nginx's own
thread a request, at saturation: the minimum of the rounds, since noise can only raise it. Targets take turns, so what one
costs over another is compared within each round; the median of that counts. On a machine that others use as well,
kong_instructions.py counts instructions instead.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import processes
from processes import LOADGEN, ROOT, TARGET, children, machine, memory_mib, on_cores, put
from run import CONNECTIONS, WRK, check, cpu_when_quiet, nginx_version

from kong_process import Kong, plugin, service  # the tests'; processes has put them on the path

TITLE = "## The Kong plugin"
ANSWERS = {"JSON, 1 KiB": "/json1k/v1/chat/completions", "JSON, 16 KiB": "/json16k/v1/chat/completions", "SSE, 64 events": "/sse/v1/chat/completions"}
TARGETS = {
    "none": "nginx with Lua, no plugin",
    "empty": "an empty plugin",
    "ours": "ours, full capture and export",
    "numbers": "the same, with numbers for Kong's prometheus",
}


def threads(pid: int) -> dict[str, float]:
    """CPU seconds of nginx's own thread of each worker, and of ours."""
    found = {"nginx": 0.0, "engine": 0.0}
    for process in children(pid)[1:]:
        for task in Path(f"/proc/{process}/task").iterdir():
            kind = "nginx" if int(task.name) == process else "engine"
            found[kind] += int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


def start(folder: Path, target: str, upstream: str, sink: str, library: Path, **env: str) -> Kong:
    """The host with what `target` says in it."""
    trace = plugin(f"http://{sink}", queue={"max_coalescing_delay": 1})
    more = {"plugins": [{"name": "prometheus", "config": {"ai_metrics": True}}]} if target == "numbers" else {}
    env["AI_TRACING_HOST_MODE"] = target if target in ("none", "empty") else "ours"
    return Kong(folder, [service(f"http://{upstream}", trace)], level="notice", library=library, env=env, **more)


class Bench:
    """Everything that runs during the measurement."""

    def __init__(self, folder: Path, library: Path):
        self.folder, self.processes, self.kongs = folder, [], {}
        cores = sorted(os.sched_getaffinity(0))
        self.core, self.rest = {cores[0]}, set(cores[1:]) or {cores[0]}
        self.script = folder / "post.lua"
        self.script.write_text(WRK)
        with on_cores(self.rest):
            upstream, sink = self.serve("upstream"), self.serve("sink", "ok")
        with on_cores(self.core):
            for name in TARGETS:
                self.kongs[name] = start(folder / name, name, upstream, sink, library)

    def serve(self, kind: str, *args: str) -> str:
        process = subprocess.Popen([LOADGEN, kind, "127.0.0.1:0", *args], stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process.stdout.readline().split()[1]

    def saturate(self, target: str, path: str, seconds: float) -> dict:
        made = self.kongs[target]
        before = threads(made.process.pid)
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", self.script, f"http://{made.proxy}{path}"]
        with on_cores(self.rest):
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        result = json.loads(next(line for line in out.splitlines() if line.startswith("RESULT"))[7:])
        check(result["errors"] == 0, f"{target} {path}: {result['errors']} errors under wrk")
        cpu_when_quiet(made.process.pid)
        after = threads(made.process.pid)
        return {"rps": result["requests"] / result["seconds"]} | {name: (after[name] - before[name]) / result["requests"] * 1e6 for name in after}

    def latency(self, target: str, path: str, seconds: float, rate: int = 500) -> dict:
        with on_cores(self.rest):
            command = [LOADGEN, "load", self.kongs[target].proxy, path, str(rate), str(seconds), "16"]
            result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        check(result["errors"] == 0, f"{target} {path}: {result['errors']} errors at {rate}/s")
        return {"mean": result["mean_us"]}

    def stop(self) -> None:
        for made in self.kongs.values():
            made.kill()
        for process in self.processes:
            process.terminate()
            process.wait(10)


def measure(bench: Bench, rounds: int, seconds: float) -> dict:
    samples: dict[tuple, list[dict]] = {}
    for target in TARGETS:
        for path in ANSWERS.values():
            bench.saturate(target, path, 1)
    for number in range(rounds):
        print(f"bench: Kong, round {number + 1} of {rounds}", file=sys.stderr)
        order = list(TARGETS)[number % len(TARGETS) :] + list(TARGETS)[: number % len(TARGETS)]
        for answer, path in ANSWERS.items():
            for target in order:
                samples.setdefault((answer, target), []).append(bench.saturate(target, path, seconds) | bench.latency(target, path, seconds))
    return samples


def section(samples: dict, bench: Bench, command: str, took: float) -> str:
    least = lambda answer, target, key: min(sample[key] for sample in samples[(answer, target)])
    most = lambda answer, target, key: max(sample[key] for sample in samples[(answer, target)])
    over = lambda answer, target="ours", key="nginx": statistics.median(
        ours[key] - empty[key] for ours, empty in zip(samples[(answer, target)], samples[(answer, "empty")], strict=True)
    )  # fmt: skip
    out = [
        TITLE, "",
        f"What it costs nginx to have it: `{command}`, {took / 60:.1f} minutes, on {machine()}; {nginx_version()} with Debian's Lua module,",
        f"one worker on one core, wrk with {CONNECTIONS} connections. CPU time a request of nginx's own thread, which requests wait for, and of",
        "the engine's thread beside it (which gives way to it); the best of the rounds, and the median of the differences within each.",
        "Latency: 500 requests a second, mean.", "",
    ]  # fmt: skip
    for answer in ANSWERS:
        out += [f"### {answer}", "", "| | requests/s | nginx µs/request | over the empty plugin | engine µs/request | mean latency µs |", "|---|---:|---:|---:|---:|---:|"]
        for target, label in TARGETS.items():
            cpu, ours = least(answer, target, "nginx"), target in ("ours", "numbers")
            more, beside = (f"{over(answer, target):+.1f}", f"{least(answer, target, 'engine'):.0f}") if ours else ("", "")
            out.append(f"| {label} | {most(answer, target, 'rps'):,.0f} | {cpu:.1f} | {more} | {beside} | {least(answer, target, 'mean'):.0f} |")
        out.append("")
    stream = (over("SSE, 64 events") - over("JSON, 1 KiB")) / 64
    memory = memory_mib(bench.kongs["ours"].process.pid, "VmHWM") - memory_mib(bench.kongs["empty"].process.pid, "VmHWM")
    out += [
        "| aim | measured |", "|---|---|",
        f"| at most 8 µs of nginx's CPU a request over the empty plugin, 1 KiB answers | {over('JSON, 1 KiB'):.1f} µs |",
        f"| at most 1 µs a stream chunk | {stream:.2f} µs (the stream's cost over the 1 KiB answer's, by 64 chunks) |",
        f"| no added latency | {over('JSON, 1 KiB', key='mean'):+.0f} µs mean, 1 KiB answers |", "",
        f"Peak memory over the empty plugin's: {memory:.0f} MiB. {dropped(bench)}", "",
    ]  # fmt: skip
    return "\n".join(out)


def dropped(bench: Bench) -> str:
    engine = bench.kongs["ours"].stats()["engine"]
    lost = sum(count for name, count in engine["sink"].items() if name.startswith("dropped"))
    return f"Of {engine['sink']['accepted'] + lost:,} calls, {lost:,} were dropped at the sink (at saturation, where one core serves and traces; every drop is counted)."


def add_to(report: str, rounds: int = 15, seconds: float = 1, library: Path = TARGET / "release") -> str:
    """The report with this section measured anew."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ai-tracing-bench-") as folder:
        bench = Bench(Path(folder), library)
        try:
            samples = measure(bench, rounds, seconds)
            text = section(samples, bench, f"bench/kong.py --rounds {rounds} --seconds {seconds:g}", time.monotonic() - began)
        finally:
            bench.stop()
    print(text)
    return put(report, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="many short ones, so that the noise is the same in each")
    parser.add_argument("--seconds", type=float, default=1, help="of one run")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "performance.md")
    parser.add_argument("--library", type=Path, help="the folder of a built libai_tracing_kong.so")
    arguments = parser.parse_args()
    if not arguments.library:
        processes.build()
    text = add_to(arguments.output.read_text(), arguments.rounds, arguments.seconds, arguments.library or TARGET / "release")
    arguments.output.write_text(text)


if __name__ == "__main__":
    main()
