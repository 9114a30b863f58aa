"""The commands that existing users have in their scripts, as written, typed into a real shell.

Only host and port (`localhost:8000`, `localhost:8001`) and ids are put in; nothing else of a command is touched.
"""

import json
import re

import pytest
from gateway import shell
from upstream import ROOT, Answer, fixture

README = ROOT / "README.md"

CREATE_JSON = r"""curl -X POST http://localhost:8001/services/your-ai-service/plugins -H "Content-Type: application/json" -d '{
  "name": "ai-tracing",
  "config": {"langfuse_enabled": true, "langfuse_public_key": "pk-lf-xxxxxxxxxxxx", "langfuse_secret_key": "sk-lf-xxxxxxxxxxxx",
             "langfuse_endpoint": "https://cloud.langfuse.com/api/public/ingestion", "langfuse_timeout": 5000,
             "environment": "production", "log_level": "info"}}'"""

CREATE_FORM = r"""curl -X POST http://localhost:8001/services/ai-service-dev/plugins --data "name=ai-tracing" --data "config.langfuse_enabled=true" \
  --data "config.langfuse_public_key=pk-lf-dev-xxx" --data "config.langfuse_secret_key=sk-lf-dev-xxx" --data "config.environment=development" """

PATCH = r"""curl -X PATCH http://localhost:8001/plugins/PLUGIN_ID --data "config.log_level=debug" """

LIST = r"""curl http://localhost:8001/services/ai-service/plugins | jq '.data[] | select(.name=="ai-tracing")'"""

CHAT_HEADERS = r"""curl -X POST http://localhost:8000/v1/chat/completions -H "Content-Type: application/json" -H "X-User-Id: user-12345" -H "X-Session-Id: session-abcde" \
  -d '{"model": "gpt-4", "messages": [{"role": "user", "content": "Explain quantum computing in simple terms"}], "temperature": 0.7, "max_tokens": 500}'"""

CHAT_METADATA = r"""curl -X POST http://localhost:8000/v1/chat/completions -H "Content-Type: application/json" -H "X-User-Id: user-12345" -H "X-Chat-Id: chat-67890" -H "X-Organization-Id: org-acme" \
  -d '{"model": "gpt-4", "messages": [{"role": "system", "content": "You are a helpful assistant."}], "temperature": 0.8, "max_tokens": 100, "stream": false,
       "metadata": {"user_id": "user-12345", "chat_id": "chat-67890", "session_id": "session-abcde", "project_id": "project-xyz",
                    "features": {"web_search": true, "image_generation": false}, "variables": {"user_tier": "premium", "language": "en"}}}'"""


@pytest.fixture(scope="module")
def gateway(start_shared, upstream):
    """A gateway with nothing configured but the services that the commands name. No traffic goes through those whose
    commands name the real Langfuse."""
    upstream.add("/v1/chat/completions", Answer(body=fixture("chat_plain").body))
    made = start_shared()
    made.serve("your-ai-service", upstream.url, ["/your"])
    made.serve("ai-service-dev", upstream.url, ["/dev"])
    made.serve("ai-service", upstream.url, plugin={})
    return made


def typed(gateway, command: str) -> str:
    """Runs a command with this gateway's addresses in it; what it printed."""
    for port, address in ((8000, gateway.proxy), (8001, gateway.admin), (8100, gateway.status)):
        command = re.sub(rf"(localhost|127\.0\.0\.1):{port}\b", address, command)
    done = shell(command.replace("curl ", "curl -sS ", 1))
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def test_create_in_json(gateway):
    plugin = json.loads(typed(gateway, CREATE_JSON))
    assert plugin["name"] == "ai-tracing"
    assert plugin["enabled"] is True
    assert plugin["config"]["langfuse_timeout"] == 5000
    assert plugin["config"]["langfuse_endpoint"] == "https://cloud.langfuse.com/api/public/ingestion"
    assert gateway.api("GET", "/services/your-ai-service/plugins")["data"] == [plugin]


def test_create_in_form_encoding_then_patch(gateway):
    plugin = json.loads(typed(gateway, CREATE_FORM))
    config = plugin["config"]
    assert config["langfuse_enabled"] is True, "typed by the schema, not a string"
    assert (config["environment"], config["log_level"], config["langfuse_timeout"]) == ("development", "info", 5000)
    changed = json.loads(typed(gateway, PATCH.replace("PLUGIN_ID", plugin["id"])))
    assert changed["config"] == {**config, "log_level": "debug"}
    assert changed["id"] == plugin["id"]


def test_list_with_jq(gateway):
    listed = json.loads(typed(gateway, LIST))
    assert listed["name"] == "ai-tracing"
    assert listed["service"]["id"] == gateway.api("GET", "/services/ai-service")["id"]


def test_chat_with_headers(gateway, upstream):
    answer = json.loads(typed(gateway, CHAT_HEADERS))
    assert answer["choices"][0]["message"]["content"] == "Bonjour le monde 🌍"
    (record,) = gateway.traces(1, lambda record: record["request"]["params"].get("max_tokens") == 500)
    assert record["context"]["user_id"] == "user-12345"
    assert record["context"]["session_id"] == "session-abcde"
    assert record["request"]["model"] == "gpt-4"
    assert record["request"]["messages"] == [{"role": "user", "content": "Explain quantum computing in simple terms"}]
    assert record["request"]["params"]["temperature"] == 0.7
    assert record["service"] == record["route"] == "ai-service"
    assert record["name"] == "/v1/chat/completions"
    assert record["provider"] == "openai_compatible"


def test_chat_with_metadata(gateway):
    typed(gateway, CHAT_METADATA)
    (record,) = gateway.traces(1, lambda record: record["request"]["params"].get("max_tokens") == 100)
    context = record["context"]
    wanted = {"user_id": "user-12345", "chat_id": "chat-67890", "session_id": "session-abcde", "organization_id": "org-acme", "project_id": "project-xyz"}
    assert {name: context[name] for name in wanted} == wanted
    assert context["metadata"] == {"features": {"web_search": True, "image_generation": False}, "variables": {"user_tier": "premium", "language": "en"}}


def test_setting_up_service_and_route_by_curl(gateway, upstream):
    """The JSON and the form encoding of services, routes and plugins, by name and by id, nested and flat."""
    host, port = upstream.host, upstream.port
    service = json.loads(typed(gateway, f"curl -X POST http://localhost:8001/services --data name=made-by-form --data url={upstream.url}"))
    assert (service["host"], service["port"], service["protocol"]) == (host, port, "http")
    route = json.loads(typed(gateway, "curl -X POST http://localhost:8001/services/made-by-form/routes --data 'paths[]=/made' --data 'methods[]=POST' --data name=made-route"))
    assert (route["paths"], route["methods"], route["service"]["id"]) == (["/made"], ["POST"], service["id"])
    plugin = json.loads(typed(gateway, "curl -X POST http://localhost:8001/routes/made-route/plugins --data name=ai-tracing --data 'config.redact[1].pattern=x-[0-9]{3}'"))
    assert plugin["route"]["id"] == route["id"]
    assert plugin["config"]["redact"][0]["pattern"] == "x-[0-9]{3}"
    answer = typed(gateway, """curl -X POST http://localhost:8000/made/v1/chat/completions -H 'content-type: application/json' -d '{"model":"m","messages":[]}'""")
    assert json.loads(answer)["id"] == "chatcmpl-9a"
    assert typed(gateway, f"curl -o /dev/null -w '%{{http_code}}' -X DELETE http://localhost:8001/plugins/{plugin['id']}") == "204"


def readme_commands() -> list[str]:
    """The curl commands in README.md's shell blocks, continuation lines and quoted line breaks included."""
    if not README.exists():
        return []
    commands = []
    for block in re.findall(r"^```(?:bash|sh|shell|console)\n(.*?)^```", README.read_text(), re.S | re.M):
        lines = iter(block.splitlines())
        for line in lines:
            command = line.removeprefix("$ ").strip()
            if not re.match(r"(\w+=\S+ )*curl\b", command):
                continue
            while command.endswith("\\") or command.count("'") % 2 or command.count('"') % 2 and "'" not in command:
                following = next(lines, None)
                if following is None:
                    break
                command += "\n" + following
            commands.append(command)
    return commands


def test_the_readme_does_not_lie(start, upstream, langfuse):
    """Every curl command of the README works as written, in its order, against a gateway in front of an upstream."""
    commands = readme_commands()
    assert commands, "README.md has no curl command in a shell block"
    upstream.default = lambda request: fixture("chat_plain").answer()
    try:
        gateway = start() if any("8001" in command for command in commands) else start("--upstream", upstream.url)
        ids = {}
        for command in commands:
            # Upstream and Langfuse are somewhere on the internet, or on another port: here they are ours.
            command = re.sub(r"https://api\.openai\.com|http://(localhost|127\.0\.0\.1):(?!8000\b|8001\b|8100\b)\d+", upstream.url, command)
            command = command.replace("https://cloud.langfuse.com", langfuse.url)
            for name, value in ids.items():
                command = command.replace(name, value)
            flags = "curl -f " if "8000" in command else "curl "
            printed = typed(gateway, command.replace("curl ", flags, 1))
            answer = None
            try:
                answer = json.loads(printed)
            except ValueError:
                pass
            if isinstance(answer, dict) and answer.get("name") == "ai-tracing":
                ids["PLUGIN_ID"] = answer["id"]
            if isinstance(answer, dict) and "schema violation" in str(answer.get("name")):
                raise AssertionError(f"{command}\n{printed}")
        if any("/v1/chat/completions" in command and "8000" in command for command in commands):
            assert gateway.traces(1)
            if any("langfuse_enabled" in command for command in commands):
                langfuse.trace()
        langfuse.check()
    finally:
        upstream.default = None
