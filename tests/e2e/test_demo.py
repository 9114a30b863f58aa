"""`ai-tracing demo`: one command, no keys, no network, and a person sees what the product does."""

import re
import subprocess

from gateway import BINARY, environment, run, shell, until


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


def test_demo_keep(tmp_path):
    """It stays up for the commands that it names, and ends with nothing left behind."""
    out = tmp_path / "out"
    with out.open("wb") as file:
        process = subprocess.Popen([BINARY, "demo", "--keep"], stdout=file, stderr=subprocess.STDOUT, env=environment(TMPDIR=str(tmp_path)))
    try:
        until(lambda: "ai-tracing traces --follow" in out.read_text() or process.poll() is not None, 120, "the demo's last words")
        assert process.poll() is None, out.read_text()
        last = out.read_text().split("Ctrl-C")[1]
        commands = re.findall(r"^ *(curl .*)$", last, re.M)
        assert commands
        for command in commands:
            done = shell(command.replace("curl ", "curl -sSf ", 1))
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            assert done.stdout
        listed = re.search(r"ai-tracing (traces) --follow --data-dir (\S+)", last)
        until(lambda: " me " in run("traces", "--data-dir", listed[2]).stdout, what="the trace of the call just made")
        process.terminate()
        assert process.wait(60) == 0
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
