#!/usr/bin/env python3
"""Measures the gateway against nginx and a direct connection, and writes docs/performance.md.

    bench/run.py [--rounds N] [--seconds S] [--output FILE]

Everything runs on this machine over loopback: an upstream, a sink for traces and a fixed-rate client (bench/loadgen),
wrk for saturation, Debian's nginx as the yardstick. The proxy under test has one core to itself and the rest shares
the others. Targets take turns within each round, so that a slow minute of the machine meets all of them; of the rounds
the median counts (the minimum for CPU time, which noise can only raise). The engine and the pipeline are measured by
themselves before all that (bench/engine.py, bench/delivery.py), the Kong plugin after it (bench/kong.py).
"""

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import delivery
import engine
from processes import LOADGEN, ROOT, Gateway, build, cpu_by_thread, cpu_seconds, free_port, machine, memory_mib, on_cores, put, until

# What is asked for: path of the upstream's answer, requests a second of the fixed-rate runs.
ANSWERS = {
    "JSON, 1 KiB": ("/json1k/v1/chat/completions", 1000),
    "JSON, 16 KiB": ("/json16k/v1/chat/completions", 1000),
    "SSE, 64 events": ("/sse/v1/chat/completions", 200),
}
TIMED_STREAM = ("/sse-timed/v1/chat/completions", 50)
TARGETS = {
    "direct": "direct",
    "nginx": "nginx `proxy_pass`",
    "plain": "ours, no plugin",
    "traced": "ours, full capture, export, store",
    "down": "the same, Langfuse down",
}
CONNECTIONS = 32

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  client_body_buffer_size 64k;
  proxy_buffers 16 8k;
  upstream llm {{ server {upstream}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://llm;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
    # Streams pass unbuffered, as everybody sets it up for LLM traffic.
    location ~ ^/sse {{
      proxy_pass http://llm;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_buffering off;
    }}
  }}
}}
"""

WRK = """
wrk.method = "POST"
wrk.body = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Explain quantum computing in simple terms"}],"temperature":0.7,"max_tokens":500}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-User-Id"] = "user-12345"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\nRESULT {"requests":%d,"seconds":%f,"errors":%d}\\n', summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def cpu_when_quiet(pid: int) -> float:
    """CPU time once the process has worked off what it still had to do (10 s at most)."""
    last, deadline = cpu_seconds(pid), time.monotonic() + 10
    while time.monotonic() < deadline:
        time.sleep(0.2)
        now = cpu_seconds(pid)
        if now - last < 0.002:
            return now
        last = now
    return last


class Bench:
    """Everything that runs during the measurement."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.processes: list[subprocess.Popen] = []
        self.gateways: dict[str, Gateway] = {}
        cores = sorted(os.sched_getaffinity(0))
        self.proxy_core, self.rest = {cores[0]}, set(cores[1:]) or {cores[0]}
        self.script = folder / "post.lua"
        self.script.write_text(WRK)
        with on_cores(self.rest):
            self.upstream = self.serve("upstream", "127.0.0.1:0")
            self.sink = self.serve("sink", "127.0.0.1:0", "ok")
        with on_cores(self.proxy_core):
            self.nginx = self.start_nginx()
            self.start_gateway("plain", None)
            self.start_gateway("traced", f"http://{self.sink}")
            self.start_gateway("down", f"http://127.0.0.1:{free_port()}")
        self.addresses = {"direct": self.upstream, "nginx": self.nginx, **{k: g.proxy for k, g in self.gateways.items()}}
        self.pids = {"nginx": self.nginx_pid, **{k: g.process.pid for k, g in self.gateways.items()}}
        time.sleep(1)
        self.idle = {name: memory_mib(pid, "VmRSS") for name, pid in self.pids.items()}

    def serve(self, *args: str) -> str:
        process = subprocess.Popen([LOADGEN, *args], stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process.stdout.readline().split()[1]

    def start_nginx(self) -> str:
        port = free_port()
        config = self.folder / "nginx.conf"
        config.write_text(NGINX.format(folder=self.folder, upstream=self.upstream, port=port))
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        process = subprocess.Popen([program, "-p", self.folder, "-c", config, "-e", self.folder / "error.log"])
        self.processes.append(process)
        self.nginx_pid = process.pid
        until(lambda: connects(port), 10, "nginx")
        return f"127.0.0.1:{port}"

    def start_gateway(self, name: str, langfuse: str | None) -> None:
        gateway = Gateway(self.folder / name)
        self.gateways[name] = gateway
        config = None
        if langfuse:
            config = {"langfuse_enabled": True, "langfuse_public_key": "pk", "langfuse_secret_key": "sk", "langfuse_endpoint": langfuse}
        gateway.serve("llm", f"http://{self.upstream}", plugin=config)

    def saturate(self, target: str, path: str, seconds: float) -> dict:
        """As much as it can: wrk with keep-alive connections."""
        pid = self.pids.get(target)
        before = cpu_seconds(pid) if pid else 0
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", self.script, f"http://{self.addresses[target]}{path}"]
        with on_cores(self.rest):
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        result = json.loads(next(line for line in out.splitlines() if line.startswith("RESULT"))[7:])
        cpu = cpu_when_quiet(pid) - before if pid else 0
        check(result["errors"] == 0, f"{target} {path}: {result['errors']} errors under wrk")
        return {"rps": result["requests"] / result["seconds"], "cpu_us": cpu / result["requests"] * 1e6}

    def steady(self, target: str, path: str, rate: float, seconds: float) -> dict:
        """At a fixed rate below anybody's limit: latency, and CPU time with nothing dropped or left over."""
        pid = self.pids.get(target)
        before = cpu_by_thread(pid) if pid else {}
        with on_cores(self.rest):
            out = subprocess.run(
                [LOADGEN, "load", self.addresses[target], path, str(rate), str(seconds), "16"], capture_output=True, text=True, check=True
            ).stdout
        result = json.loads(out)
        check(result["errors"] == 0, f"{target} {path}: {result['errors']} errors at {rate}/s")
        result["cpu_us"] = 0
        if pid:
            cpu_when_quiet(pid)
            result["threads"] = {name: (cpu - before.get(name, 0)) / result["requests"] * 1e6 for name, cpu in cpu_by_thread(pid).items()}
            result["cpu_us"] = sum(result["threads"].values())
        return result

    def stop(self) -> None:
        for gateway in self.gateways.values():
            gateway.kill()
        for process in self.processes:
            process.terminate()
            process.wait(10)


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def check(condition: bool, message: str) -> None:
    if not condition:
        print(f"bench: {message}", file=sys.stderr)


def best(samples: list[dict], key: str) -> float:
    """The median of the rounds; for CPU time the minimum."""
    values = [sample[key] for sample in samples]
    return min(values) if key == "cpu_us" else statistics.median(values)


def run(bench: Bench, rounds: int, seconds: float) -> dict:
    """All samples: (kind, answer, target) -> one dictionary a round."""
    samples: dict[tuple, list[dict]] = {}
    for target in TARGETS:
        for path, _ in [*ANSWERS.values(), TIMED_STREAM]:
            bench.steady(target, path, 50, 0.5)
    for number in range(rounds):
        print(f"bench: round {number + 1} of {rounds}", file=sys.stderr)
        order = list(TARGETS)[number % len(TARGETS) :] + list(TARGETS)[: number % len(TARGETS)]
        for answer, (path, rate) in ANSWERS.items():
            for target in order:
                samples.setdefault(("steady", answer, target), []).append(bench.steady(target, path, rate, seconds))
        for target in order:
            path, rate = TIMED_STREAM
            samples.setdefault(("steady", "timed", target), []).append(bench.steady(target, path, rate, seconds))
    bench.steady_peak = {name: memory_mib(pid, "VmHWM") for name, pid in bench.pids.items()}
    for number in range(rounds):
        print(f"bench: saturation, round {number + 1} of {rounds}", file=sys.stderr)
        order = list(TARGETS)[number % len(TARGETS) :] + list(TARGETS)[: number % len(TARGETS)]
        for answer, (path, _) in ANSWERS.items():
            for target in order:
                samples.setdefault(("saturate", answer, target), []).append(bench.saturate(target, path, seconds))
    return samples


def report(samples: dict, bench: Bench, arguments: argparse.Namespace, took: float) -> str:
    """docs/performance.md."""
    value = lambda kind, answer, target, key: best(samples[(kind, answer, target)], key)
    out = [
        "# Performance",
        "",
        "Written by `make bench`; run it again rather than trusting another machine's figures.",
        "",
        f"- Command: `bench/run.py --rounds {arguments.rounds} --seconds {arguments.seconds:g}`, {took / 60:.1f} minutes.",
        f"- Machine: {machine()}; everything over loopback. The proxy under test has one core, client, upstream and sink share the rest.",
        f"- nginx: {nginx_version()}, one worker, keep-alive to the upstream, no access log; streams unbuffered.",
        "- Ours: the release build; *traced* records every call in full, exports it to a local sink as Langfuse takes it, writes it to the local store, and logs a line.",
        f"- Upstream, sink and fixed-rate client: `bench/loadgen`; saturation: wrk with {CONNECTIONS} connections.",
        "- Targets take turns in each round; the median of the rounds counts, for CPU time the minimum.",
        "",
    ]
    for answer, (_, rate) in ANSWERS.items():
        out += [f"## {answer}", "", f"Fixed rate: {rate} requests a second.", ""]
        out += ["| | requests/s at saturation | CPU µs/request at saturation | CPU µs/request at fixed rate | mean µs | added mean µs | p99 µs | added p99 µs |", "|---|---:|---:|---:|---:|---:|---:|---:|"]
        for target, label in TARGETS.items():
            rps, busy = value("saturate", answer, target, "rps"), value("saturate", answer, target, "cpu_us")
            cpu, mean, p99 = (value("steady", answer, target, key) for key in ("cpu_us", "mean_us", "p99_us"))
            added = [f"{mean - value('steady', answer, 'direct', 'mean_us'):.0f}", f"{p99 - value('steady', answer, 'direct', 'p99_us'):.0f}"]
            own = target != "direct"
            out.append(
                f"| {label} | {rps:,.0f} | {f'{busy:.0f}' if own else ''} | {f'{cpu:.0f}' if own else ''} | {mean:.0f} | {added[0] if own else ''} | {p99:.0f} | {added[1] if own else ''} |"
            )
        out.append("")
    out += ["## Streams as a model sends them", "", f"64 events, 1 ms apart, {TIMED_STREAM[1]} streams a second. Time to first token as the client sees it.", ""]
    out += ["| | TTFT mean µs | added | TTFT p99 µs | added | CPU µs/stream |", "|---|---:|---:|---:|---:|---:|"]
    for target, label in TARGETS.items():
        first, tail, cpu = (value("steady", "timed", target, key) for key in ("first_mean_us", "first_p99_us", "cpu_us"))
        own = target != "direct"
        base = [value("steady", "timed", "direct", key) for key in ("first_mean_us", "first_p99_us")]
        out.append(f"| {label} | {first:.0f} | {f'{first - base[0]:.0f}' if own else ''} | {tail:.0f} | {f'{tail - base[1]:.0f}' if own else ''} | {f'{cpu:.0f}' if own else ''} |")
    out += ["", "## Ratios to nginx", "", "CPU: work done per second of CPU time, nginx = 1 (higher is better).", ""]
    out += ["| | ours, no plugin | traced | traced, Langfuse down |", "|---|---:|---:|---:|"]
    for answer in ANSWERS:
        for kind, word in (("saturate", "saturation"), ("steady", "fixed rate")):
            base = value(kind, answer, "nginx", "cpu_us")
            ratios = [base / value(kind, answer, target, "cpu_us") for target in ("plain", "traced", "down")]
            out.append(f"| {answer}, CPU, {word} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")
        base = value("saturate", answer, "nginx", "rps")
        out.append(f"| {answer}, requests/s | " + " | ".join(f"{value('saturate', answer, target, 'rps') / base:.2f}" for target in ("plain", "traced", "down")) + " |")
    out += ["", "## Where the CPU time goes", "", "µs a request at the fixed rate, traced, by thread. Clients wait for the proxy's alone.", ""]
    threads = {answer: min(samples[("steady", answer, "traced")], key=lambda sample: sample["cpu_us"])["threads"] for answer in ANSWERS}
    names = sorted({name for split in threads.values() for name, cpu in split.items() if cpu >= 1})
    out += ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    out += [f"| {answer} | " + " | ".join(f"{split.get(name, 0):.0f}" for name in names) + " |" for answer, split in threads.items()]
    out += ["", "## Memory", "", "Resident, MiB.", "", "| | idle | peak at the fixed rates | peak at saturation |", "|---|---:|---:|---:|"]
    for target, pid in bench.pids.items():
        out.append(f"| {TARGETS[target]} | {bench.idle[target]:.0f} | {bench.steady_peak[target]:.0f} | {memory_mib(pid, 'VmHWM'):.0f} |")
    added = max(value("steady", answer, "traced", "mean_us") - value("steady", answer, "direct", "mean_us") for answer in ANSWERS)
    ratio = min(value("steady", answer, "nginx", "cpu_us") / value("steady", answer, "traced", "cpu_us") for answer in ANSWERS)
    out += [
        "",
        "## Aims",
        "",
        "| aim, with capture and export on | measured |",
        "|---|---|",
        f"| at least 0.8 x nginx per CPU second | {ratio:.2f} (worst of the answers, fixed rate) |",
        f"| at most 0.3 ms added mean | {added / 1000:.2f} ms (worst of the answers) |",
        f"| RSS below 30 MiB idle | {bench.idle['traced']:.0f} MiB |",
        f"| RSS below 80 MiB under load | {bench.steady_peak['traced']:.0f} MiB at the fixed rates, {memory_mib(bench.pids['traced'], 'VmHWM'):.0f} MiB at saturation |",
        f"| unchanged latency while Langfuse is down | {max(value('steady', a, 'down', 'mean_us') - value('steady', a, 'traced', 'mean_us') for a in ANSWERS):+.0f} µs mean (worst of the answers) |",
        "",
        f"The sink took {sink_stats(bench)}. {dropped(bench)}",
        "",
    ]
    return "\n".join(out)


def sink_stats(bench: Bench) -> str:
    host, port = bench.sink.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/stats")
    stats = json.loads(connection.getresponse().read())
    return f"{stats['requests']:,} exports, {stats['bytes'] / 1e6:.1f} MB"


def dropped(bench: Bench) -> str:
    """What the traced gateway says about traces that it could not keep up with."""
    gateway = bench.gateways["traced"]
    export = gateway.request("GET", "/status", address=gateway.status).json()["ai_tracing"]["export"]
    sink = export["sink"]
    lost = sum(sink[reason] for reason in sink if reason.startswith("dropped"))
    parts = [f"Of {sink['accepted'] + lost:,} traces, {lost:,} were dropped at the sink"]
    parts += [f"{sum(d['dropped'].values()):,} of {d['offered']:,} by {d['name'].split()[0]}" for d in export["destinations"]]
    return ", ".join(parts) + " (at saturation, where one core serves and traces; every drop is counted)."


def nginx_version() -> str:
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    return subprocess.run([program, "-v"], capture_output=True, text=True).stderr.strip().removeprefix("nginx version: ")


def main() -> None:
    import kong  # which builds on this module

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of one run")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "performance.md")
    parser.add_argument("--no-build", action="store_true", help="measure the binaries that are there")
    arguments = parser.parse_args()
    if not arguments.no_build:
        build()
    engine.measure(arguments.seconds)
    pipeline = delivery.section(delivery.measure(arguments.seconds))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ai-tracing-bench-") as folder:
        os.chmod(folder, 0o755)
        bench = Bench(Path(folder))
        try:
            samples = run(bench, arguments.rounds, arguments.seconds)
            text = report(samples, bench, arguments, time.monotonic() - began)
        finally:
            bench.stop()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    for section in (engine.section(), pipeline):
        text = put(text, section)
    print(text)
    arguments.output.write_text(kong.add_to(text))


if __name__ == "__main__":
    main()
