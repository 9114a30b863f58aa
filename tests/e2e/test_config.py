"""Configuration: what is wrong is said in one line and nothing of it is applied; what is right survives."""

import json
import re
import signal

import pytest
from gateway import run, until
from upstream import ROOT, Answer, fixture

ENABLED = {"langfuse_enabled": True, "langfuse_public_key": "pk", "langfuse_secret_key": "sk"}


def declarative(upstream, **changes) -> dict:
    """A Kong declarative configuration (JSON is YAML)."""
    return {
        "_format_version": "3.0",
        "services": [{"name": "ai", "url": upstream.url, "routes": [{"name": "all", "paths": ["/"], "strip_path": False}]}],
        "plugins": [{"name": "ai-tracing", "config": {}}],
        **changes,
    }


def write(folder, content) -> str:
    path = folder / "kong.yml"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def refused(tmp_path, *args: str) -> str:
    """`start` ends with exit code 1 and one line; that line."""
    listen = {"AI_TRACING_PROXY_LISTEN": "127.0.0.1:0", "AI_TRACING_ADMIN_LISTEN": "127.0.0.1:0", "AI_TRACING_STATUS_LISTEN": "127.0.0.1:0", "AI_TRACING_CONSOLE_LISTEN": "127.0.0.1:0"}
    done = run("start", "--data-dir", tmp_path / "data", *args, timeout=60, env=listen)
    assert done.returncode == 1, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    assert '"ready"' not in done.stdout
    said = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(said) == 1, f"one clear line, not {len(said)}:\n{done.stderr}"
    return said[0]


def plugin(**config) -> dict:
    return {"plugins": [{"name": "ai-tracing", "config": config}]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (plugin(**{**ENABLED, "langfuse_public_key": None}), ["plugins[0].config.langfuse_public_key: required when langfuse_enabled is true"]),
        (plugin(**{**ENABLED, "langfuse_secret_key": None}), ["plugins[0].config.langfuse_secret_key", "required"]),
        (plugin(langfuse_timeout="soon"), ["plugins[0].config.langfuse_timeout"]),
        (plugin(log_level="loud"), ["plugins[0].config.log_level"]),
        (plugin(langfuse_enabled="maybe"), ["plugins[0].config.langfuse_enabled"]),
        (plugin(sampling_ratio=2), ["plugins[0].config.sampling_ratio"]),
        (plugin(unknown=1), ["plugins[0].config.unknown"]),
        (plugin(redact=[{"pattern": "("}]), ["plugins[0].config.redact[0].pattern"]),
        (plugin(langfuse_endpoint="not a url"), ["plugins[0].config.langfuse_endpoint"]),
        (plugin(queue={"max_batch_size": -1}), ["plugins[0].config.queue.max_batch_size"]),
        ({"plugins": [{"name": "no-such-plugin"}]}, ["plugins[0]", "no-such-plugin"]),
        ({"services": [{"name": "x", "url": "ftp://x"}]}, ["services[0]"]),
        ({"services": [{"name": "x", "url": "http://x", "routes": [{"paths": ["~("]}]}]}, ["services[0].routes[0].paths"]),
        ({"services": [{"name": "x", "url": "http://x"}, {"name": "x", "url": "http://y"}]}, ["services[1]", "uniqueness violation"]),
        ({"_format_version": "9.9"}, ["_format_version"]),
        ({"_format_version": None}, ["_format_version"]),
        ({"surprises": []}, ["surprises"]),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else None,
)
def test_what_is_wrong_is_said_with_its_path(tmp_path, upstream, changes, words):
    content = {key: value for key, value in declarative(upstream, **changes).items() if value is not None}
    line = refused(tmp_path, "--config", write(tmp_path, content))
    for word in words:
        assert word in line, line


@pytest.mark.parametrize("content", ["", "{", "- just\n- a list\n", "a: b: c", "\0\1\2", "&a [*a]", "_format_version: '3.0'\nservices: 7\n"])
def test_what_is_no_configuration(tmp_path, content):
    line = refused(tmp_path, "--config", write(tmp_path, content))
    assert "kong.yml" in line or "services" in line


def test_missing_file(tmp_path):
    assert "nowhere.yml" in refused(tmp_path, "--config", str(tmp_path / "nowhere.yml"))


def test_secret_is_not_in_the_error(tmp_path, upstream):
    bad = {**ENABLED, "langfuse_secret_key": "sk-canary-9", "langfuse_timeout": "sk-canary-9"}
    assert "sk-canary-9" not in refused(tmp_path, "--config", write(tmp_path, declarative(upstream, **plugin(**bad))))


@pytest.mark.parametrize("args", [["--upstream", "nonsense"], ["--upstream", "ftp://x"], ["--proxy-listen", "not-an-address"], ["--no-such-flag"]])
def test_bad_flags(tmp_path, args):
    done = run("start", "--data-dir", tmp_path / "data", *args, timeout=60)
    assert done.returncode in (1, 2)
    assert done.stderr.strip()
    assert "panicked" not in done.stderr


def test_port_in_use_is_said(tmp_path, upstream):
    line = refused(tmp_path, "--upstream", upstream.url, "--proxy-listen", f"127.0.0.1:{upstream.port}")
    assert str(upstream.port) in line


def test_settings_by_environment(start, upstream):
    """Each flag has a variable; a flag wins."""
    upstream.add("/v1/chat/completions", fixture("chat_plain").answer())
    gateway = start(env={"AI_TRACING_UPSTREAM": upstream.url, "AI_TRACING_PROXY_LISTEN": "127.0.0.1:1"})
    assert gateway.play(fixture("chat_plain")).status in (200, 404)


def chat(gateway, upstream, name: str = "chat_plain", path: str | None = None):
    case = fixture(name)
    upstream.add(name, case.answer())
    case.path = path or case.path
    return gateway.play(case)


def test_declarative_file(start, tmp_path, upstream):
    gateway = start("--config", write(tmp_path, declarative(upstream)))
    assert chat(gateway, upstream).status == 200
    record = gateway.trace("chat_plain")
    assert (record["service"], record["route"]) == ("ai", "all")
    # The Admin API can be read, and only POST /config changes anything.
    assert [service["name"] for service in gateway.api("GET", "/services")["data"]] == ["ai"]
    for method, path, body in (("POST", "/services", {"name": "x", "url": "http://x"}), ("PATCH", "/services/ai", {"retries": 1}), ("DELETE", "/services/ai", None)):
        reply = gateway.request(method, path, json.dumps(body).encode() if body else None, [("content-type", "application/json")], address=gateway.admin)
        assert reply.status == 405, f"{method} {path}: {reply.status}"
        assert "message" in reply.json()


def test_yaml_as_people_write_it(start, tmp_path, upstream):
    text = f"""
_format_version: "3.0"
_transform: true
services:
- name: ai            # a comment
  host: 127.0.0.1
  port: {upstream.port}
  protocol: http
  routes:
  - name: chat
    paths: [/ai, "~/v[0-9]+/chat"]
    strip_path: true
    methods:
    - POST
  plugins:
  - name: ai-tracing
    config:
      environment: &env staging
      log_level: debug
"""
    gateway = start("--config", write(tmp_path, text))
    assert chat(gateway, upstream, path="/ai/v1/chat/completions").status == 200
    record = gateway.trace("chat_plain")
    assert (record["context"]["environment"], record["name"]) == ("staging", "/ai/v1/chat/completions")
    assert upstream.seen("chat_plain")[-1].target == "/v1/chat/completions"


def test_post_config(start, tmp_path, upstream):
    gateway = start("--config", write(tmp_path, declarative(upstream)))
    changed = declarative(upstream, **plugin(environment="posted"))
    gateway.api("POST", "/config", changed, 201)
    chat(gateway, upstream)
    assert gateway.trace("chat_plain")["context"]["environment"] == "posted"
    reply = gateway.request("POST", "/config", json.dumps(declarative(upstream, **plugin(log_level="loud"))).encode(), [("content-type", "application/json")], address=gateway.admin)
    assert reply.status == 400
    assert "log_level" in reply.body.decode()
    assert gateway.api("GET", "/plugins")["data"][0]["config"]["environment"] == "posted", "nothing half-applied"


def test_sighup_reloads(start, tmp_path, upstream):
    path = write(tmp_path, declarative(upstream))
    gateway = start("--config", path)
    assert chat(gateway, upstream).status == 200
    content = declarative(upstream)
    content["services"][0]["routes"][0]["paths"] = ["/moved"]
    content["services"][0]["routes"][0]["strip_path"] = True
    write(tmp_path, content)
    gateway.signal(signal.SIGHUP)
    # The old route takes any path: that it is gone tells that the new file is in force.
    until(lambda: chat(gateway, upstream).status == 404, what="the old route to go")
    assert chat(gateway, upstream, path="/moved/v1/chat/completions").status == 200


def test_sighup_with_a_bad_file_keeps_the_old(start, tmp_path, upstream):
    gateway = start("--config", write(tmp_path, declarative(upstream)))
    write(tmp_path, declarative(upstream, **plugin(log_level="loud")))
    gateway.signal(signal.SIGHUP)
    until(lambda: "plugins[0].config.log_level" in gateway.log(), what="the error in the log")
    assert chat(gateway, upstream).status == 200
    gateway.trace("chat_plain")
    write(tmp_path, declarative(upstream, **plugin(environment="mended")))
    gateway.signal(signal.SIGHUP)
    until(lambda: gateway.api("GET", "/plugins")["data"][0]["config"]["environment"] == "mended", what="the mended file")


def test_everything_survives_a_restart(start, upstream):
    gateway = start()
    made = gateway.serve("ai", upstream.url, plugin={"environment": "kept", "log_level": "warn"})
    assert chat(gateway, upstream).status == 200
    before = {name: gateway.api("GET", f"/{name}")["data"] for name in ("services", "routes", "plugins")}
    assert gateway.stop() == 0
    again = start(data_dir=gateway.data_dir)
    assert {name: again.api("GET", f"/{name}")["data"] for name in before} == before
    assert before["plugins"] == [made]
    assert len(again.records()) == 1, "so does the trace"
    assert chat(again, upstream).status == 200
    assert len(again.traces(2)) == 2


def test_survives_being_killed(start, upstream):
    """SIGKILL: what was answered 201 is there afterwards."""
    gateway = start()
    gateway.serve("ai", upstream.url, plugin={})
    gateway.kill()
    again = start(data_dir=gateway.data_dir)
    assert [service["name"] for service in again.api("GET", "/services")["data"]] == ["ai"]
    assert chat(again, upstream).status == 200


@pytest.fixture(scope="module")
def administered(start_shared, upstream):
    """A gateway with a service and no plugin."""
    gateway = start_shared()
    gateway.serve("ai", upstream.url)
    return gateway


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"langfuse_enabled": True}, "langfuse_public_key"),
        ({"langfuse_timeout": "x"}, "langfuse_timeout"),
        ({"nope": 1}, "nope"),
        ({"queue": {"max_batch_size": "x"}}, "queue"),
    ],
)
def test_admin_refuses_as_kong_does(administered, config, field):
    gateway = administered
    reply = gateway.request("POST", "/services/ai/plugins", json.dumps({"name": "ai-tracing", "config": config}).encode(), [("content-type", "application/json")], address=gateway.admin)
    error = reply.json()
    assert (reply.status, error["code"], error["name"]) == (400, 2, "schema violation")
    assert field in error["fields"]["config"]
    assert field in error["message"]
    assert gateway.api("GET", "/services/ai/plugins")["data"] == []


def test_no_configuration_at_all(start, upstream):
    gateway = start("--upstream", upstream.url + "/prefix")
    assert chat(gateway, upstream).status == 200
    assert upstream.seen("chat_plain")[-1].target == "/prefix/v1/chat/completions"
    assert gateway.trace("chat_plain")["name"] == "/v1/chat/completions"


def test_status_and_schema(start):
    gateway = start()
    assert gateway.request("GET", "/status", address=gateway.admin).status == 200
    assert gateway.request("GET", "/status", address=gateway.status).status == 200
    schema = gateway.api("GET", "/schemas/plugins/ai-tracing")
    config = next(field["config"] for field in schema["fields"] if "config" in field)
    names = {name for field in config["fields"] for name in field}
    assert {"langfuse_enabled", "langfuse_public_key", "langfuse_secret_key", "langfuse_endpoint", "langfuse_timeout", "environment", "log_level"} <= names


def test_log_lines_people_grep_for(start, upstream):
    gateway = start("--upstream", upstream.url)
    chat(gateway, upstream)
    line = until(lambda: next((line for line in gateway.log().splitlines() if "AI Tracing" in line), None), what="the log line")
    assert isinstance(json.loads(line), dict), "structured JSON lines"
    assert "Bonjour" not in gateway.log(), "bodies only at debug"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.y*ml")) if (ROOT / "examples").exists() else [])
def test_every_example_file_loads(start, path):
    """With what its vault references name in the environment. Nothing is sent anywhere, as there is no traffic."""
    text = path.read_text()
    named = {name.upper().replace("-", "_"): "value" for name in re.findall(r"\{vault://env/([\w-]+)", text)}
    if "_format_version" in text:
        start("--config", str(path), env=named)


def test_traces_commands(start, upstream):
    gateway = start("--upstream", upstream.url)
    upstream.add("/v1/chat/completions", Answer(body=b"{}"))
    chat(gateway, upstream)
    record = gateway.trace("chat_plain")
    table = gateway.cli("traces")
    assert table.returncode == 0
    assert "gpt-4o-mini" in table.stdout
    shown = gateway.cli("traces", "show", record["id"])
    assert shown.returncode == 0
    assert "Bonjour le monde" in shown.stdout
    assert gateway.cli("traces", "show", "no-such-id").returncode == 1
