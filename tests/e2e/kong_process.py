"""Kong with the plugin in it, as a process of its own: nginx with the host of `kong/spec/host`, or a real Kong.

`AI_TRACING_KONG` names a script that starts a real Kong as `kong/spec/host/start.sh` starts the host: same arguments, same
environment, and the process that it becomes is nginx's master. The same tests then run against it.
"""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

from gateway import Proxy, environment, free_port, until
from upstream import ROOT

TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
LIBRARY = Path(os.environ.get("AI_TRACING_LIBRARY") or TARGET / "debug")
REAL = os.environ.get("AI_TRACING_KONG")
HOST = ROOT / "kong" / "spec" / "host" / "start.sh"
SECRET = "sk-lf-very-secret"

# What the host answers by itself; in a real Kong its `pre-function` plugin does, before any other.
INSIDE = """
local engine = require "kong.plugins.ai-tracing.engine"
local answers = {
  stats = function() return engine.stats() or "null" end,
  worker = function() return tostring(ngx.worker.pid()) end,
  version = function() return tostring(kong.version_num) end,
  collect = function() collectgarbage() collectgarbage() return "ok" end,
}
return kong.response.exit(200, answers[kong.request.get_path():match("[^/]+$")]())
"""
INSIDE_SERVICE = {
    "name": "inside", "url": "http://127.0.0.1:9", "routes": [{"name": "inside", "paths": ["/.host"]}],
    "plugins": [{"name": "pre-function", "config": {"access": [INSIDE]}}],
}  # fmt: skip


def plugin(langfuse: str | None = None, **config) -> dict:
    """The plugin's declaration; with the address of a Langfuse, traces go there without delay."""
    if langfuse:
        keys = {"langfuse_enabled": True, "langfuse_public_key": "pk-lf-1", "langfuse_secret_key": SECRET}
        config = {**keys, "langfuse_endpoint": langfuse, "queue": {"max_coalescing_delay": 0.05}, **config}
    return {"name": "ai-tracing", "config": config}


class Kong(Proxy):
    """One running Kong. `services`: Kong's declarations; `more`: other top-level entities."""

    def __init__(self, folder: Path, services: list[dict], workers: int = 1, level: str = "info", library: Path = LIBRARY, env=None, **more):
        folder.mkdir(parents=True, exist_ok=True)
        self.prefix = folder
        self.config = folder / "kong.json"
        self.port = free_port()
        self.proxy = f"127.0.0.1:{self.port}"
        self.http2 = f"127.0.0.1:{free_port()}"  # of a real Kong
        self.log_file = folder / "logs" / "error.log"
        self.declare(services, **more)
        extra = {
            "KONG_NGINX_WORKER_PROCESSES": str(workers), "KONG_LOG_LEVEL": level, "KONG_PROXY_LISTEN": f"{self.proxy}, {self.http2} http2",
            "AI_TRACING_LIBRARY": str(library), "AI_TRACING_PLUGIN": str(ROOT), **(env or {}),
        }  # fmt: skip
        with (folder / "out").open("ab") as out:
            self.process = subprocess.Popen(
                [REAL or str(HOST), str(folder), str(self.config), str(self.port)], stdout=out, stderr=out, env=environment(**extra)
            )
        try:
            until(self._answers, 60, lambda: f"a listening Kong\n{self.log()}")
        except BaseException:
            self.kill()
            raise

    def declare(self, services: list[dict], **more) -> None:
        """Writes the declarative configuration, JSON being YAML; Kong reads it when it starts and when it reloads."""
        services = [*services, INSIDE_SERVICE] if REAL else services
        self.config.write_text(json.dumps({"_format_version": "3.0", "services": services, **more}))

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"exited with {self.process.returncode}\n{self.log()}"
        # The socket is there before those who serve it.
        try:
            return self.request("GET", "/.host/worker", timeout=5).status == 200
        except OSError:
            return False

    def log(self) -> str:
        out = (self.prefix / "out").read_text()
        return out + (self.log_file.read_text() if self.log_file.exists() else "")

    def stats(self) -> dict:
        """The engine's counters, of the one worker there is."""
        return self.request("GET", "/.host/stats").json()

    def workers(self) -> list[int]:
        """The processes that serve."""
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            return [int(child) for child in children if b"worker process" in Path(f"/proc/{child}/cmdline").read_bytes()]
        return []

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def stop(self, how: int = signal.SIGTERM, timeout: float = 60) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(timeout)

    def kill(self) -> None:
        if self.process.poll() is None:
            for worker in self.workers():
                os.kill(worker, signal.SIGKILL)
            self.process.kill()
            self.process.wait(30)


def service(url: str, *plugins: dict, path: str = "/", name: str = "llm", **route) -> dict:
    """A service with one route, and plugins on it."""
    return {
        "name": name, "url": url, "retries": 0, "read_timeout": 2000, "plugins": list(plugins),
        "routes": [{"name": f"{name}-route", "paths": [path], "strip_path": path != "/", **route}],
    }
