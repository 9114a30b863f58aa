"""All recordings of the corpus (`AI_TRACING_CORPUS`) through `ai-tracing inspect`, judged by the corpus' own comparison.

What is known to differ stands, with its reason, in `corpus-allow.txt`.
"""

import json
import subprocess
import sys

import pytest
from facts import ALLOW, comparison
from gateway import BINARY, environment
from upstream import CORPUS

EXPECTED = sorted(CORPUS.glob("expected-*.jsonl"))
SHARE = 0.995


@pytest.mark.skipif(not EXPECTED, reason=f"no corpus in {CORPUS}")
@pytest.mark.parametrize("expected", EXPECTED, ids=lambda path: path.stem)
def test_recorded_exchanges(expected, tmp_path, capsys):
    """At least 99.5 % of the entries have every high-confidence field right; the rest is in the allow-list."""
    folder = CORPUS / expected.stem.removeprefix("expected-")
    found = tmp_path / "found.jsonl"
    with found.open("wb") as out:
        done = subprocess.run([BINARY, "inspect", "--format", "jsonl", folder], stdout=out, stderr=subprocess.PIPE, env=environment(), timeout=600)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()

    compare = comparison()
    records = {record["id"]: record for record in map(json.loads, found.read_text().splitlines())}
    entries = [json.loads(line) for line in expected.read_text().splitlines()]
    counted = [e for e in entries if not e.get("robustness") and compare.flat_expected(e)["detected"] is not None]
    differing = [line for line in (difference(compare, e, records) for e in counted) if line]
    share = 1 - len(differing) / len(counted)
    judged = subprocess.run([sys.executable, CORPUS / "compare.py", expected, found, "--allow", ALLOW], capture_output=True, text=True, timeout=600)
    with capsys.disabled():
        print(f"\n  corpus ({expected.stem}): {share:.2%} of {len(counted)} entries with every high-confidence field equal", *differing[:40], sep="\n  ")
    assert share >= SHARE, f"{len(differing)} of {len(counted)} entries differ"
    assert judged.returncode == 0, judged.stdout[-6000:]


def difference(compare, entry: dict, records: dict[str, dict]) -> str | None:
    """The high-confidence fields of an entry that are not equal, before any allowance."""
    wanted, got = compare.flat_expected(entry), compare.flat_actual(records.get(entry["id"], {}))
    missed = [f for f, x in wanted.items() if not compare.equal(f, x, got[f]) and not compare.lowconf(entry, f)]
    return f"{entry['id']} {entry['file']}: {', '.join(missed)}" if missed else None
