"""Recorded exchanges go through the gateway: the client's bytes are the upstream's, and the record has their facts.

The project's own fixtures run always. The corpus of recordings (`AI_TRACING_CORPUS`) runs where it is there; which
fields are equal is decided by the corpus' own comparison, and what is known to differ stands, with its reason, in
`corpus-allow.txt`.
"""

import concurrent.futures
import re

import pytest
from facts import allowed, assert_facts, comparison
from upstream import CORPUS, cut, corpus, fixtures

RECORDED = corpus()
# Formats that only the host of their provider gives away: configured, as a user would behind a relay.
HOSTED = {
    "writer": ("/v1/chat", "openai_chat"),
    "replicate": ("*/predictions", "replicate_predictions"),
    "huggingface": ("*/", "huggingface_inference"),
    "sagemaker": ("*/invocations", "sagemaker_invocations"),
    "alephalpha": ("*/complete", "alephalpha_complete"),
}
PROVIDERS = [
    {"name": name, "header": f"x-recorded-host: {host}", "path": HOSTED[name][0], "dialect": HOSTED[name][1]}
    for name, host in sorted({(case.expected["provider_family"], case.host) for case in RECORDED if case.expected["provider_family"] in HOSTED})
]
SHARE = 0.995


@pytest.fixture(scope="module")
def gateway(start_shared, upstream):
    made = start_shared()
    made.serve("replay", upstream.url, plugin={"providers": PROVIDERS})
    return made


def same_bytes(gateway, upstream, case, how: str) -> str | None:
    """Plays a case; what differs between what was sent and what arrived, on either side."""
    upstream.add(case.id, case.answer(how))
    reply = gateway.play(case, extra=[("x-recorded-host", case.host)])
    sent = upstream.seen(case.id)[-1]
    if (reply.status, reply.body) != (case.status, case.body):
        return f"{case.id}: {reply.status} with {len(reply.body)} bytes, not {case.status} with {len(case.body)}"
    if reply.header("content-type") != (case.content_type or None):
        return f"{case.id}: content-type {reply.header('content-type')!r}, not {case.content_type!r}"
    # As Kong does, the gateway merges slashes in paths.
    if (sent.method, sent.target, sent.body) != (case.method, re.sub("^//+", "/", case.path), case.request_body):
        return f"{case.id}: the upstream got {sent.method} {sent.target} with other bytes"
    return None


@pytest.mark.parametrize("how", ["whole", "events", "bytes", "odd"])
@pytest.mark.parametrize("case", fixtures(), ids=lambda case: case.id)
def test_fixture(gateway, upstream, case, how):
    """However the answer is cut on the wire: same bytes for the client, same facts in the record."""
    case.id = f"{case.id}-{how}"
    assert same_bytes(gateway, upstream, case, how) is None
    record = gateway.trace(case.id)
    assert_facts(case.expected, record)
    timing = record["timing"]
    if record["stream"] and record["response"]["text"]:
        assert 0 <= timing["time_to_first_token_ms"] <= timing["total_duration_ms"]


def test_cuts_are_cuts():
    body = "data: é🌍\n\ndata: [DONE]\n\n".encode()
    for how in ("whole", "events", "bytes", "odd"):
        assert b"".join(cut(body, how)) == body
    assert list(cut(body, "events")) == ["data: é🌍\n\n".encode(), b"data: [DONE]\n\n"]


@pytest.mark.skipif(not RECORDED, reason=f"no corpus in {CORPUS}")
@pytest.mark.parametrize("how", ["events", "odd"])
def test_recorded_exchanges(start, upstream, how, capsys):
    """At least 99.5 % of the recorded exchanges have every high-confidence field right."""
    gateway = start()
    gateway.serve("replay", upstream.url, plugin={"providers": PROVIDERS})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        wrong = [line for line in pool.map(lambda case: same_bytes(gateway, upstream, case, how), RECORDED) if line]
    assert not wrong, "\n".join(wrong)
    compare, exempt = comparison(), allowed()
    # A stop flushes: what was sent is in the store when the process has ended.
    assert gateway.stop() == 0
    by_id = {}
    for record in gateway.records():
        assert record["context"]["message_id"] not in by_id, f"two records for {record['context']['message_id']}"
        by_id[record["context"]["message_id"]] = record
    differing, equal, unused = [], 0, set(exempt)
    for case in RECORDED:
        record = by_id.get(case.id, {"detected": False})
        expected, actual = compare.flat_expected(case.expected), compare.flat_actual(record)
        # Through a local replay the host says nothing about the provider.
        expected.pop("provider", None)
        # A live call's counts are estimated where the provider gave none: flagged, and only there.
        if record.get("tokens_estimated"):
            expected = {f: x for f, x in expected.items() if not (f.startswith("usage.") and x is None)}
        if case.expected.get("robustness") or expected["detected"] is None:
            continue
        missed = [f for f, x in expected.items() if not compare.equal(f, x, actual[f]) and not compare.lowconf(case.expected, f)]
        unused -= {pair for f in missed for pair in ((case.id, f), (case.id, "*"))}
        missed = [f for f in missed if not {(case.id, f), (case.id, "*")} & exempt]
        equal += not missed
        differing += [f"{case.id} {case.host}{case.path} {f}: expected {expected[f]!r}, recorded {actual[f]!r}" for f in missed]
    counted = sum(1 for c in RECORDED if not c.expected.get("robustness") and c.expected["detected"] is not None)
    share = equal / counted
    with capsys.disabled():
        print(f"\n  corpus ({how}): {equal} of {counted} exchanges ({share:.2%}) with every high-confidence field equal, {len(exempt)} differences allowed", *differing, sep="\n  ")
    assert share >= SHARE, "\n".join(line[:400] for line in differing[:60])
    assert not unused, f"no longer needed in corpus-allow.txt: {sorted(unused)}"


def test_the_allow_list_gives_reasons():
    allowed()
