#!/usr/bin/env python3
"""Does to a gateway what may happen to one, and writes what was found into docs/delivery.md.

    tests/chaos/run.py [--seed N] [--short] [--output FILE] [SCENARIO ...]

Without names all scenarios run, which takes half an hour; what was found last of each is kept in target/chaos, so that
they may be run one by one. With --short the numbers are small and nothing is written. What a run does is told by its
seed; when exactly it hits the process is not.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))
from processes import machine, put  # noqa: E402
import scenarios  # noqa: E402

TITLE = "## What was tried"
KEPT = ROOT / "target" / "chaos"
# By name: the scenario, and the numbers of its short form.
ALL = {
    "kill": (scenarios.kill, {"kills": 5}),
    "outage": (scenarios.outage, {"minutes": 0.3, "rate": 100}),
    "disk-full": (scenarios.disk_full, {"size": 16 << 20, "beyond": 500}),
    "damaged-files": (scenarios.damaged_files, {"rounds": 4, "calls": 200}),
    "damaged-restart": (scenarios.damaged_restart, {"rounds": 5, "calls": 100}),
    "clock": (scenarios.clock, {"calls": 50}),
    "two-processes": (scenarios.two_processes, {"calls": 200}),
}  # fmt: skip


def play(name: str, seed: int, short: bool) -> dict | None:
    """Runs one scenario, its progress on the terminal; what it has found, or `None` where it cannot be played."""
    function, numbers = ALL[name]
    say = lambda line: print(f"{name}: {line}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ai-tracing-chaos-") as folder:
        try:
            result = function(Path(folder), say, seed, **(numbers if short else {}))
        except scenarios.Unable as why:
            say(f"not played: {why}")
            return None
    took = time.monotonic() - began
    for key, value in result.figures.items():
        say(f"{key}: {value}")
    say(f"held, {took:.0f} s")
    return {"what": result.what, "figures": result.figures, "seed": seed, "seconds": took}


def section() -> str:
    """The section of the report: what was found last of each scenario."""
    found = {name: json.loads(file.read_text()) for name in ALL if (file := KEPT / f"{name}.json").exists()}
    out = [
        TITLE, "",
        f"Written by `make chaos` (`tests/chaos/run.py`), on {machine()}.",
        "The optimised binary, an OTLP receiver of the tests' own that keeps books of every call that it took, and clients that",
        "compare every answer with the upstream's. Each of these fails when something does not hold; short forms of most are part",
        "of `make test`.", "",
        "| what happened | what was found | run for |", "|---|---|---:|",
    ]  # fmt: skip
    for entry in found.values():
        figures = "<br>".join(f"{key}: **{value}**" for key, value in entry["figures"].items())
        out.append(f"| {entry['what']} | {figures} | {entry['seconds']:.0f} s |")
    missing = [name for name in ALL if name not in found]
    if missing:
        out += ["", f"Without a result so far: {', '.join(missing)}."]
    return "\n".join([*out, ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="*", choices=[*ALL, []], metavar="SCENARIO", help=", ".join(ALL))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="small numbers, no report")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "delivery.md")
    arguments = parser.parse_args()
    failed = []
    for name in arguments.scenario or ALL:
        try:
            found = play(name, arguments.seed, arguments.short)
        except AssertionError as failure:
            print(f"{name}: DID NOT HOLD (seed {arguments.seed}): {failure}", flush=True)
            failed.append(name)
            continue
        if found and not arguments.short:
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / f"{name}.json").write_text(json.dumps(found))
    if not arguments.short:
        before = arguments.output.read_text() if arguments.output.exists() else "# Delivery\n"
        arguments.output.write_text(put(before, section()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
