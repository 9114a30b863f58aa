"""Comparing a record with the facts that a fixture states."""

import importlib.util
import math

from upstream import CORPUS, ROOT

# Differences between records and the corpus that are known.
ALLOW = ROOT / "tests" / "e2e" / "corpus-allow.txt"


def differences(expected, actual, path: str = "") -> list[str]:
    """Where `actual` misses a stated fact. An object states only the fields it names; all else is exact. `null` and
    an absent field are the same, as are `null` and an empty text or list."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return [line for key, value in expected.items() for line in differences(value, actual.get(key), f"{path}.{key}" if path else key)]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [line for i, (e, a) in enumerate(zip(expected, actual)) for line in differences(e, a, f"{path}[{i}]")]
    if expected in (None, "", []) and actual in (None, "", []):
        return []
    if isinstance(expected, (int, float)) and isinstance(actual, (int, float)) and not isinstance(expected, bool):
        return [] if math.isclose(expected, actual) else [f"{path}: {actual!r}, not {expected!r}"]
    return [] if expected == actual else [f"{path}: {actual!r}, not {expected!r}"]


def assert_facts(expected: dict, record: dict) -> None:
    """Fails with every fact that the record misses."""
    missed = differences(expected, record)
    assert not missed, "\n".join(missed)


def comparison():
    """The corpus' own comparison, from its folder."""
    spec = importlib.util.spec_from_file_location("compare", CORPUS / "compare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def allowed() -> set[tuple[str, str]]:
    """The lines of the allow-list, `ID FIELD  # reason`: each of them needs a reason."""
    pairs = set()
    for line in ALLOW.read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            assert line.partition("#")[2].strip(), f"no reason given: {line}"
            pairs.add((words[0], words[1]))
    return pairs
