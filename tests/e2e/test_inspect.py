"""`ai-tracing inspect` as a person runs it: recorded traffic in, a table, JSON lines or Langfuse traces out."""

import gzip
import json
import os
import pty
import subprocess

import pytest
from fake_langfuse import FakeLangfuse
from gateway import BINARY, environment, quote, run, shell
from upstream import FIXTURES

HAR = FIXTURES / "inspect.har"
PUBLIC, SECRET = "pk-lf-inspect-0001", "sk-lf-inspect-canary-31b9"
KEYS = {"LANGFUSE_PUBLIC_KEY": PUBLIC, "LANGFUSE_SECRET_KEY": SECRET}


def lines(*args, **kwargs) -> list[dict]:
    """What `inspect --format jsonl` prints; it must succeed."""
    done = run("inspect", "--format", "jsonl", *args, **kwargs)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def config(tmp_path, **plugin):
    """A declarative file with the plugin for everything."""
    path = tmp_path / "kong.yml"
    path.write_text(json.dumps({"_format_version": "3.0", "plugins": [{"name": "ai-tracing", "config": plugin}]}))
    return path


def test_the_facts_of_each_entry():
    whole, stream, models, limited, gone = lines(HAR)
    assert [record["id"] for record in (whole, stream, models)] == [f"{HAR}#0", "streamed", f"{HAR}#2"]
    assert models == {"id": f"{HAR}#2", "detected": False}

    assert (whole["provider"], whole["operation"], whole["response"]["text"]) == ("openai", "chat", "Noted.")
    assert whole["usage"] == {"input": 14, "output": 3, "total": 17, "cache_read": 0, "cache_write": None, "reasoning": None}
    assert whole["context"]["session_id"] == "session-1"
    assert whole["timing"]["started_at"] == "2025-03-04T04:06:07.089000Z"
    assert whole["timing"]["total_duration_ms"] == 1234.5

    assert (stream["stream"], stream["response"]["text"], stream["response"]["finish_reasons"]) == (True, "Hello", ["length"])
    assert set(stream["usage"].values()) == {None} and not stream["tokens_estimated"], "nobody reported, nothing is made up"
    assert stream["timing"]["time_to_first_token_ms"] is None, "a recording in one piece does not tell"
    assert stream["server"] == {"address": "localhost", "port": 8000}

    assert (limited["status"], limited["error"]["message"]) == (429, "Rate limit reached")
    assert (gone["status"], gone["end"]) == (None, "client_gone")
    assert all("issues" not in record for record in (whole, stream, limited, gone))


def test_estimates_are_asked_for_and_flagged():
    stream = next(record for record in lines(HAR, "--estimate") if record["id"] == "streamed")
    assert stream["tokens_estimated"] and stream["usage"]["input"] > 0


def test_every_kind_of_input(tmp_path):
    har = HAR.read_bytes()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.har.gz").write_bytes(gzip.compress(har))
    (tmp_path / "a.har").write_bytes(b"\xef\xbb\xbf" + har)
    (tmp_path / "notes.txt").write_text("no HAR")
    (tmp_path / "misnamed").write_bytes(gzip.compress(har))
    expected = [[f"{tmp_path}/a.har#0", "streamed"], [f"{tmp_path}/sub/b.har.gz#0", "streamed"], [f"{tmp_path}/misnamed#0", "streamed"]]
    ids = [record["id"] for record in lines(tmp_path, tmp_path / "misnamed")]
    assert [ids[i : i + 2] for i in (0, 5, 10)] == expected
    for command in (f"cat {quote(str(HAR))}", f"cat {quote(str(tmp_path / 'misnamed'))}"):
        done = shell(f"{command} | {BINARY} inspect - --format jsonl")
        assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 5)
        assert json.loads(done.stdout.splitlines()[0])["id"] == "-#0"


def test_the_table():
    done = run("inspect", HAR)
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["TIME", "PROVIDER", "OPERATION", "MODEL", "STATUS", "STREAM", "TOKENS", "FINISH", "ERROR", "ID"]
    assert "14/0/3/-" in rows[0] and "client_gone" in rows[3]
    assert rows[-1] == "5 entries in 1 file, 4 LLM calls, 1 not LLM"
    assert "api.openai.com/v1/models" not in done.stdout
    assert "GET api.openai.com/v1/models" in run("inspect", HAR, "--all").stdout
    assert "not LLM: the method is GET, not POST" in run("inspect", HAR, "--explain").stdout


def test_what_is_broken_does_not_stop_the_rest(tmp_path):
    har, packed = HAR.read_bytes(), gzip.compress(HAR.read_bytes())
    (tmp_path / "cut.har").write_bytes(har[: har.index(b'"streamed"')])
    (tmp_path / "cut.har.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "page.har").write_text("<html>")
    (tmp_path / "whole.har").write_bytes(har)
    done = run("inspect", tmp_path, tmp_path / "gone.har", "--format", "jsonl")
    assert done.returncode == 1
    told = done.stderr.splitlines()
    assert [line.split(": ")[1].removeprefix(f"{tmp_path}/") for line in told] == ["gone.har", "cut.har", "cut.har.gz", "page.har"]
    assert "entry 1, byte " in told[1] and "gzip data ends too early" in told[2] and "byte 0" in told[3]
    ids = [json.loads(line)["id"] for line in done.stdout.splitlines()]
    assert f"{tmp_path}/cut.har#0" in ids and f"{tmp_path}/whole.har#4" in ids
    assert run("inspect").returncode == 2
    (tmp_path / "empty").mkdir()
    assert run("inspect", tmp_path / "empty").returncode == 1


def test_a_reader_that_leaves_ends_it_quietly(tmp_path):
    har = json.loads(HAR.read_text())
    har["log"]["entries"] *= 2000
    (tmp_path / "long.har").write_text(json.dumps(har))
    done = shell(f"{BINARY} inspect {quote(str(tmp_path))} --format jsonl | head -1")
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)


def peak(path) -> int:
    """Kilobytes that reading a file takes at most."""
    script = (
        "import resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n"
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(["python3", "-c", script, BINARY, "inspect", str(path)], capture_output=True, text=True, timeout=120, env=environment())
    code, kilobytes = map(int, done.stdout.split())
    assert (code, done.stderr) == (0, "")
    return kilobytes


def test_memory_does_not_grow_with_the_file(tmp_path):
    """A file of 80 MB takes what one of 20 MB takes, with entries of 1 MB each."""
    har = json.loads(HAR.read_text())
    entry = har["log"]["entries"][0]
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x" * 1_000_000}]}
    entry["request"]["postData"]["text"] = json.dumps(body)
    peaks = []
    for count in (20, 80):
        har["log"]["entries"] = [entry] * count
        (tmp_path / "big.har").write_text(json.dumps(har))
        peaks.append(peak(tmp_path / "big.har"))
    assert peaks[1] - peaks[0] < 20_000, f"{peaks} kB"


def test_no_progress_where_nobody_watches(tmp_path):
    assert run("inspect", HAR).stderr == ""
    # A terminal, but too little work for it.
    main, terminal = pty.openpty()
    done = subprocess.run([BINARY, "inspect", HAR], stdout=subprocess.PIPE, stderr=terminal, env=environment(TERM="xterm"), timeout=60)
    os.close(terminal)
    os.set_blocking(main, False)
    try:
        shown = os.read(main, 1000)
    except (BlockingIOError, OSError):
        shown = b""
    os.close(main)
    assert (done.returncode, shown) == (0, b"")


# --- with a configuration, and to Langfuse --------------------------------------------------------------------------


def test_the_plugins_rules_hold(tmp_path):
    plugin = {"environment": "replay", "providers": [{"name": "acme", "host": "localhost"}], "redact": [{"pattern": "[0-9]{3}-[0-9]{4}", "replacement": "[number]"}]}
    whole, stream, *_ = lines(HAR, "--config", config(tmp_path, **plugin))
    assert (whole["context"]["environment"], stream["provider"]) == ("replay", "acme")
    assert whole["request"]["messages"][0]["content"] == "My number is [number]"
    private = lines(HAR, "--config", config(tmp_path, capture_content="metadata_only"))
    assert "555-0100" not in json.dumps(private) and private[0]["usage"]["input"] == 14


def test_records_go_to_langfuse(langfuse):
    done = run("inspect", HAR, "--export", "--langfuse-endpoint", langfuse.url, env=KEYS)
    assert (done.returncode, done.stderr) == (0, "ai-tracing: Langfuse: 4 sent, 0 failed\n")
    roots = [span for span in langfuse.spans() if span.parent is None]
    assert len(roots) == 4 and {export.project for export in langfuse.accepted()} == {f"{PUBLIC}:{SECRET}"}
    first = min(roots, key=lambda span: span.start)
    assert round(first.start) == 1741061167 and abs(first.end - first.start - 1.2345) < 1e-3
    assert SECRET not in done.stdout + done.stderr
    # Once more: the same observations, so that nothing is there twice.
    before = {(span.trace_id, span.id) for span in langfuse.spans()}
    assert run("inspect", HAR, "--export", env={**KEYS, "LANGFUSE_HOST": langfuse.url}).returncode == 0
    assert {(span.trace_id, span.id) for span in langfuse.spans()} == before
    langfuse.check()


def test_a_slow_langfuse_gets_everything(tmp_path, langfuse):
    """More records than the queue may hold: the reader waits, nothing is dropped."""
    har = json.loads(HAR.read_text())
    har["log"]["entries"] = [dict(har["log"]["entries"][0], _id=str(number)) for number in range(500)]
    (tmp_path / "many.har").write_text(json.dumps(har))
    langfuse.next = [503, 429]
    plugin = {
        "langfuse_enabled": True, "langfuse_public_key": "{vault://env/MY_PUBLIC}", "langfuse_secret_key": "{vault://env/MY_SECRET}", "langfuse_endpoint": langfuse.url,
        "queue": {"max_entries": 10, "max_batch_size": 5, "max_coalescing_delay": 0.01, "initial_retry_delay": 0.01},
    }  # fmt: skip
    done = run("inspect", tmp_path / "many.har", "--export", "--config", config(tmp_path, **plugin), env={"MY_PUBLIC": PUBLIC, "MY_SECRET": SECRET})
    assert (done.returncode, done.stderr) == (0, "ai-tracing: Langfuse: 500 sent, 0 failed\n")
    assert len({span.trace_id for span in langfuse.spans()}) == 500
    langfuse.check()


@pytest.mark.parametrize("mode", [401, 503])
def test_what_was_not_delivered_is_told(tmp_path, mode):
    server = FakeLangfuse(mode)
    try:
        plugin = {
            "langfuse_enabled": True, "langfuse_public_key": PUBLIC, "langfuse_secret_key": SECRET, "langfuse_endpoint": server.url,
            "queue": {"max_retry_time": 0.2, "initial_retry_delay": 0.01, "max_retry_delay": 0.05},
        }  # fmt: skip
        done = run("inspect", HAR, "--export", "--config", config(tmp_path, **plugin))
    finally:
        server.close()
    assert done.returncode == 1
    assert done.stderr.startswith("ai-tracing: Langfuse: 0 sent, 4 failed: ") and str(mode) in done.stderr
    assert SECRET not in done.stderr and len(done.stdout.splitlines()) == 7


def test_keys_are_asked_for():
    done = run("inspect", HAR, "--export")
    assert done.returncode == 1 and "LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY" in done.stderr
    done = run("inspect", HAR, "--export", env={"LANGFUSE_PUBLIC_KEY": PUBLIC})
    assert done.returncode == 1 and "LANGFUSE_SECRET_KEY is not set" in done.stderr
