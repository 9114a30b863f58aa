"""Short forms of the scenarios of `make chaos`: what they ask of the gateway is the same, the numbers are smaller."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "chaos"))
import scenarios  # noqa: E402

SHORT = {
    # On a machine that is busy with something else, no time is long enough; what is on disk is.
    "kill": (scenarios.kill, {"kills": 4, "longest": 0.6, "by_time": False}),
    "disk-full": (scenarios.disk_full, {"size": 8 << 20, "beyond": 300}),
    "damaged-files": (scenarios.damaged_files, {"rounds": 4, "calls": 120}),
    "damaged-restart": (scenarios.damaged_restart, {"rounds": 4, "calls": 80}),
    "clock": (scenarios.clock, {"calls": 40}),
    "two-processes": (scenarios.two_processes, {"calls": 150}),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_scenario(name, tmp_path):
    scenario, numbers = SHORT[name]
    try:
        scenario(tmp_path, print, seed=1, **numbers)
    except scenarios.Unable as why:
        pytest.skip(str(why))
