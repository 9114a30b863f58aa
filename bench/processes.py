"""What the benches share: the binaries, cores, CPU time and memory of processes."""

import contextlib
import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
LOADGEN = TARGET / "loadgen" / "release" / "loadgen"
os.environ.setdefault("AI_TRACING_BIN", str(TARGET / "release" / "ai-tracing"))
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from gateway import Gateway, free_port, until  # noqa: E402


@contextlib.contextmanager
def on_cores(cores):
    """Processes started inside run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def children(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += children(int(child))
    return found


def cpu_by_thread(pid: int) -> dict[str, float]:
    """CPU time of a process tree in seconds, by the name of its threads (numbers at its end left out)."""
    total: dict[str, float] = {}
    for process in children(pid):
        for task in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(OSError):
                name = (task / "comm").read_text().strip().rstrip("0123456789").rstrip("-")
                total[name] = total.get(name, 0) + int((task / "schedstat").read_text().split()[0]) / 1e9
    return total


def cpu_seconds(pid: int) -> float:
    """CPU time of a process tree, in seconds."""
    return sum(cpu_by_thread(pid).values())


def memory_mib(pid: int, field: str) -> float:
    """Resident memory of a process tree: `VmRSS` now, `VmHWM` at its peak."""
    total = 0
    for process in children(pid):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                total += int(line.split()[1])
    return total / 1024


def machine() -> str:
    model = next((l.split(":")[1].strip() for l in Path("/proc/cpuinfo").read_text().splitlines() if l.startswith("model name")), platform.machine())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024 / 1024
    return f"{len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def build() -> None:
    subprocess.run(["cargo", "build", "--release", "--bin", "ai-tracing", "--quiet"], cwd=ROOT, check=True)
    subprocess.run(["cargo", "build", "--release", "--package", "ai-tracing-kong", "--quiet"], cwd=ROOT, check=True)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET / "loadgen")}
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT / "bench" / "loadgen", env=environment, check=True)


def put(report: str, section: str) -> str:
    """The report with this section in place of the one of the same title, or at its end."""
    title = section.partition("\n")[0]
    before, _, rest = report.partition(title + "\n")
    _, heading, after = rest.partition("\n## ")
    return before.rstrip("\n") + "\n\n" + section + heading + after
