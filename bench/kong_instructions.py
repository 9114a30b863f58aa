#!/usr/bin/env python3
"""Counts the instructions that a request costs nginx with the Kong plugin, without it, and with an empty one.

    bench/kong_instructions.py [--requests N] [--library FOLDER] [TARGET...]

Under valgrind (callgrind): slow, yet what others do on the machine does not show in it. Counted is nginx's own thread, in
user space, over requests one after another on one connection, once LuaJIT has compiled what it compiles. What that is
differs from run to run, by a tenth or so: look at several. The targets are those of kong.py.
"""

import argparse
import os
import re
import subprocess
import tempfile
from pathlib import Path

import kong
import processes
from processes import LOADGEN, TARGET

BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Explain quantum computing in simple terms"}],"temperature":0.7,"max_tokens":500}'
HEAD = f"POST /json1k/v1/chat/completions HTTP/1.1\r\nhost: kong\r\ncontent-type: application/json\r\nx-user-id: user-12345\r\ncontent-length: {len(BODY)}\r\n\r\n"


def ask(connection, answers, times: int) -> None:
    """That many requests, one after another."""
    for _ in range(times):
        connection.sendall(HEAD.encode() + BODY)
        status, length = answers.readline(), 0
        assert b" 200 " in status, status
        while (line := answers.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert len(answers.read(length)) == length > 0


def count(folder: Path, target: str, upstream: str, sink: str, library: Path, requests: int) -> float:
    """Instructions a request."""
    folder.mkdir()
    nginx = folder / "nginx.sh"
    nginx.write_text(
        "#!/bin/sh\nexec valgrind --quiet --tool=callgrind --trace-children=yes --separate-threads=yes"
        f' --callgrind-out-file={folder}/counts.%p {os.environ.get("NGINX", "/usr/sbin/nginx")} "$@"\n'
    )
    nginx.chmod(0o755)
    made = kong.start(folder / "kong", target, upstream, sink, library, NGINX=str(nginx))
    try:
        # Under valgrind its title does not tell.
        worker = processes.children(made.process.pid)[1]
        control = lambda what: subprocess.run(["callgrind_control", what, str(worker)], check=True, capture_output=True)
        with made.socket(timeout=600) as connection, connection.makefile("rb") as answers:
            ask(connection, answers, requests)
            control("--zero")
            ask(connection, answers, requests)
            control("--dump=counted")
            # Answered: the dump is whole.
            ask(connection, answers, 1)
    finally:
        made.kill()
    # nginx's own thread is the first. What is dumped at the end of a process is not asked for.
    dumps = [path.read_text(errors="replace") for path in sorted(folder.glob(f"counts.{worker}.*-01"))]
    counted = next(dump for dump in dumps if "dump counted" in dump)
    return int(re.search(r"^(?:summary|totals): (\d+)", counted, re.MULTILINE).group(1)) / requests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1500, help="counted, after as many that are not")
    parser.add_argument("--library", type=Path, help="the folder of a built libai_tracing_kong.so")
    parser.add_argument("targets", nargs="*", metavar="TARGET", default=list(kong.TARGETS), help=", ".join(kong.TARGETS))
    arguments = parser.parse_args()
    if not arguments.library:
        processes.build()
    servers = [subprocess.Popen([LOADGEN, *what], stdout=subprocess.PIPE, text=True) for what in (["upstream", "127.0.0.1:0"], ["sink", "127.0.0.1:0", "ok"])]
    empty = None
    try:
        upstream, sink = (server.stdout.readline().split()[1] for server in servers)
        with tempfile.TemporaryDirectory(prefix="ai-tracing-bench-") as folder:
            for target in arguments.targets:
                found = count(Path(folder) / target, target, upstream, sink, arguments.library or TARGET / "release", arguments.requests)
                over = "" if empty is None else f"{found - empty:+10,.0f} over the empty plugin"
                print(f"{kong.TARGETS[target]:48} {found:10,.0f} {over}", flush=True)
                empty = found if target == "empty" else empty
    finally:
        for server in servers:
            server.terminate()
            server.wait(10)


if __name__ == "__main__":
    main()
