"""Comparing a record with the facts that a fixture states."""

import math


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
