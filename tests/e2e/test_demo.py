"""`ai-tracing demo`: one command, no keys, no network, and a person sees what the product does."""

import os
import signal
import subprocess

from gateway import BINARY, environment, run, until


def test_demo():
    done = run("demo", timeout=120)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert "panicked" not in done.stderr
    for word in ("/v1/chat/completions", "/v1/embeddings", "/generate", "TTFT", "client_gone", "--upstream", "langfuse"):
        assert word.lower() in done.stdout.lower(), f"{word} is not in the demo's output:\n{done.stdout}"


def test_demo_needs_no_terminal_and_leaves_nothing(tmp_path):
    """In an empty folder with no home: nothing is left behind there."""
    home = tmp_path / "home"
    home.mkdir()
    done = run("demo", timeout=120, cwd=tmp_path, env={"HOME": str(home)}, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["home"]


def test_demo_keep_stops_on_request(tmp_path):
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen([BINARY, "demo", "--keep"], stdout=out, stderr=subprocess.STDOUT, env=environment(HOME=str(tmp_path)))
    try:
        until(lambda: "langfuse" in (tmp_path / "out").read_text().lower(), 120, "the demo's last words")
        assert process.poll() is None, "--keep leaves it running"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
