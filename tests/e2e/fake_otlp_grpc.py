"""A receiver of OTLP by gRPC: PyPI `grpcio`'s server with the service stubs of PyPI `opentelemetry-proto`."""

import datetime
import ipaddress
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fake_otlp import Export, Received, parse, parse_metrics, refusal
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

# What a server says beside its status: google.rpc.Status with a RetryInfo of no time at all.
RETRY_INFO = b"\x08\x08\x1a\x2e\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x02\x0a\x00"


class FakeGrpcOtlp(Received, trace_service_pb2_grpc.TraceServiceServicer):
    """See the module. `next` holds codes of gRPC (with a message, if one matters) or `reject` for the next calls."""

    def __init__(self, port: int = 0, tls: tuple[bytes, bytes] | None = None, metrics: bool = True):
        Received.__init__(self)
        self.next: list = []
        self._changed = threading.Condition()
        self._server = grpc.server(ThreadPoolExecutor(max_workers=4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        if metrics:
            metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(self), self._server)
        address = f"127.0.0.1:{port}"
        if tls:
            self.port = self._server.add_secure_port(address, grpc.ssl_server_credentials([tls]))
        else:
            self.port = self._server.add_insecure_port(address)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait(20)

    def wait(self, condition, timeout: float = 60, what="the receiver's condition"):
        """Waits until `condition()` is true, looked at after every call; returns its value."""
        with self._changed:
            value = self._changed.wait_for(condition, timeout)
        assert value, f"{what() if callable(what) else what} was not met within {timeout} s"
        return value

    def Export(self, request, context):  # noqa: N802 - the stub's name
        return self.take(request, context, self.exports, ExportTraceServiceResponse())

    def take(self, request, context, exports: list, response):
        """One call, of either signal."""
        export = Export("", dict(context.invocation_metadata()), 200)
        try:
            if exports is self.metrics:
                export.points = parse_metrics(request.SerializeToString())
            else:
                export.spans = parse(request.SerializeToString())
        except Exception as fault:  # what cannot be parsed is the test's finding, whatever it is
            self.faults.append(f"{type(fault).__name__}: {fault}")
        verdict = self.next.pop(0) if self.next else None
        if verdict == "reject":
            response = refusal(export)
            export.spans, export.points = [], []
        elif verdict is not None:
            code, message = verdict if isinstance(verdict, tuple) else (verdict, "")
            export.status = code.name
            if message == "retry":
                context.set_trailing_metadata([("grpc-status-details-bin", RETRY_INFO)])
            context.set_code(code)
            context.set_details(message)
        with self._changed:
            exports.append(export)
            self._changed.notify_all()
        return response


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    """The other service, of the same receiver."""

    def __init__(self, receiver: FakeGrpcOtlp):
        self.receiver = receiver

    def Export(self, request, context):  # noqa: N802 - the stub's name
        return self.receiver.take(request, context, self.receiver.metrics, ExportMetricsServiceResponse())


def certificate(folder: Path) -> tuple[tuple[bytes, bytes], Path]:
    """A key and a certificate for 127.0.0.1, and the file in which a client finds whom to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's receiver")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    trusted = folder / "trusted.pem"
    trusted.write_bytes(pem)
    return (private, pem), trusted
