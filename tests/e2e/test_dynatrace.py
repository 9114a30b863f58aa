"""The Dynatrace dashboard: it is built as Dynatrace documents it, and asks only for what the gateway sends."""

import json
import re

import pytest
from fake_otlp import FakeOtlp, plugin
from test_langfuse import send
from test_otlp_metrics import SIX
from upstream import ROOT

DASHBOARD = ROOT / "deploy" / "dynatrace" / "ai-tracing-dashboard.json"
PAGE = ROOT / "docs" / "dynatrace.md"
# What Dynatrace itself puts on a span, and the language's own words.
OF_DYNATRACE = {"start_time", "duration", "trace.id"}
WORDS = set(
    "fetch spans filter summarize fields sort limit desc by count countIf countDistinct sum percentile isNotNull makeTimeseries timeseries".split()
)


@pytest.fixture(scope="module")
def sent(start_shared, upstream):
    """Names of the attributes of spans, of metrics, and of their attributes, that real calls bring."""
    otlp = FakeOtlp()
    try:
        gateway = start_shared()
        gateway.serve("ai", upstream.url, plugin=plugin(otlp))
        for name in ("chat_plain", "chat_stream_usage", "embeddings", "chat_error_429"):
            send(gateway, upstream, name, extra=[("X-User-Id", "user-1")])
        otlp.wait(lambda: len(otlp.spans()) == 4, what="four spans")
        assert gateway.stop() == 0
        attributes = {key for span in otlp.spans() for key in span.attributes}
        metrics = {point.name for point in otlp.points()}
        assert metrics == SIX
        return attributes, metrics, {key for point in otlp.points() for key in point.attributes}
    finally:
        otlp.close()


def tiles() -> dict:
    return json.loads(DASHBOARD.read_text())["tiles"]


def queries() -> dict[str, str]:
    return {tile["title"]: tile["query"] for tile in tiles().values() if tile["type"] == "data"}


def test_the_document_is_built_as_documented():
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard.keys() == {"version", "variables", "tiles", "layouts"}
    assert dashboard["version"] == 21 and dashboard["variables"] == []
    assert dashboard["tiles"].keys() == dashboard["layouts"].keys()
    cells = set()
    for key, place in dashboard["layouts"].items():
        assert place.keys() == {"x", "y", "w", "h"} and place["x"] + place["w"] <= 24
        covered = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not covered & cells, f"tile {key} lies on another"
        cells |= covered
    for tile in dashboard["tiles"].values():
        if tile["type"] == "markdown":
            assert tile.keys() == {"type", "content"}
            continue
        assert tile.keys() == {"type", "title", "query", "visualization", "visualizationSettings", "querySettings"}
        assert tile["visualization"] in ("lineChart", "areaChart", "barChart", "singleValue", "table")
    assert len(queries()) == sum(tile["type"] == "data" for tile in tiles().values()), "a title stands twice"


def test_the_page_explains_every_query():
    page = PAGE.read_text()
    explained = dict(re.findall(r"^\*\*([^*\n]+)\*\* \([a-zA-Z]+\).*?\n```dql\n(.+?)\n```", page, re.MULTILINE | re.DOTALL))
    assert explained == queries()
    for tile in tiles().values():
        if tile["type"] == "data":
            assert f"**{tile['title']}** ({tile['visualization']})" in page


def test_queries_name_only_what_is_sent(sent):
    attributes, metrics, dimensions = sent
    assert {"ai_tracing.cost.total", "error.type", "traceloop.association.properties.user_id"} <= attributes
    asked: set[str] = set()
    for title, query in queries().items():
        # Columns that the query makes itself.
        own = set(re.findall(r"([a-z_0-9]+) =", query))
        names = set(re.findall(r"[a-zA-Z_][a-zA-Z0-9_.]*", query)) - WORDS - own
        known = metrics | dimensions if query.startswith("timeseries") else attributes | OF_DYNATRACE
        assert names <= known, f"{title}: {names - known}"
        asked |= names & metrics
    # Tokens are told by spans.
    assert asked == SIX - {"gen_ai.client.token.usage"}


def test_the_page_names_every_metric_and_dimension(sent):
    _, metrics, dimensions = sent
    page = PAGE.read_text()
    assert not [name for name in metrics | dimensions if f"`{name}`" not in page]


def test_the_page_names_the_attributes_that_dynatrace_lists():
    listed = """
        gen_ai.completion.0.content gen_ai.completion.0.content_filter_results gen_ai.completion.0.finish_reason
        gen_ai.completion.0.role gen_ai.openai.api_base gen_ai.openai.api_version gen_ai.openai.system_fingerprint
        gen_ai.prompt.0.content gen_ai.prompt.0.role gen_ai.prompt.prompt_filter_results gen_ai.request.max_tokens
        gen_ai.request.model gen_ai.request.temperature gen_ai.request.top_p gen_ai.response.model gen_ai.system
        gen_ai.usage.completion_tokens gen_ai.usage.prompt_tokens llm.request.type
    """.split()
    page = PAGE.read_text()
    assert len(listed) == 19
    assert not [name for name in listed if f"`{name}`" not in page]
