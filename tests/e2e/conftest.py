"""Fixtures: a gateway process and an upstream that replays, fresh for each test module or test."""

import pytest

import gateway as gateway_module
from fake_langfuse import FakeLangfuse
from fake_otlp import FakeOtlp
from fake_otlp import plugin as otlp_plugin
from gateway import Gateway
from upstream import Upstream


def pytest_report_header():
    from upstream import CORPUS, corpus

    cases = corpus()
    where = f"{len(cases)} recorded exchanges from {CORPUS}" if cases else f"absent ({CORPUS}): the project's own fixtures only"
    return [f"gateway: {gateway_module.BINARY}", f"corpus: {where}"]


def pytest_sessionstart(session):
    if not gateway_module.BINARY.exists():
        pytest.exit(f"{gateway_module.BINARY} is not built: cargo build --bin ai-tracing (or set AI_TRACING_BIN)", 2)


def finish(gateway: Gateway) -> None:
    """Every gateway has to end well: it never panicked, and SIGTERM ends it with exit code 0."""
    log = gateway.log()
    if gateway.exit_code is None:
        gateway.alive()
        code = gateway.stop()
        assert code == 0, f"exit code {code} after SIGTERM\n{gateway.log()[-4000:]}"
    assert "panicked" not in log, log[-4000:]


def _starter(tmp_path_factory):
    started: list[Gateway] = []

    def start(*args: str, **kwargs) -> Gateway:
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), *args, **kwargs)
        started.append(gateway)
        return gateway

    return start, started


@pytest.fixture
def start(tmp_path_factory):
    """Starts gateways that are stopped, and checked, when the test ends."""
    function, started = _starter(tmp_path_factory)
    yield function
    try:
        for gateway in started:
            finish(gateway)
    finally:
        for gateway in started:
            gateway.kill()


@pytest.fixture(scope="module")
def start_shared(tmp_path_factory):
    """As `start`, for gateways that a module's tests share."""
    function, started = _starter(tmp_path_factory)
    yield function
    try:
        for gateway in started:
            finish(gateway)
    finally:
        for gateway in started:
            gateway.kill()


@pytest.fixture(scope="module")
def upstream():
    """An upstream that a module's tests share."""
    server = Upstream()
    yield server
    server.close()


@pytest.fixture(scope="module")
def gateway(start_shared, upstream):
    """A gateway in front of `upstream`, shared by a module's tests: `start --upstream`, everything else default."""
    return start_shared("--upstream", upstream.url)


@pytest.fixture
def langfuse():
    """A Langfuse of the tests' own."""
    server = FakeLangfuse()
    yield server
    server.close()


@pytest.fixture
def otlp():
    """A receiver of OTLP of the tests' own."""
    server = FakeOtlp()
    yield server
    server.close()
    server.check()


@pytest.fixture
def through(start, upstream, otlp):
    """A gateway that exports to `otlp`; called with plugin parameters."""

    def made(env=None, **config):
        gateway = start(env=env or {})
        gateway.serve("ai", upstream.url, plugin=otlp_plugin(otlp, **config))
        return gateway

    return made
