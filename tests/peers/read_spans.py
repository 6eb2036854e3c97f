"""Reads posts of spans, one a line, by OpenTelemetry's own definitions, and says what they tell.

OTLP's JSON is proto3's but for ids, which it writes in hexadecimal where proto3 has base64; and it
takes enums as numbers alone. Everything else is read strictly: a field that is no field of theirs,
or of another type, is a mistake.
"""

import base64
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def ids_as_proto3(value):
    if isinstance(value, list):
        return [ids_as_proto3(one) for one in value]
    if not isinstance(value, dict):
        return value
    read = {}
    for name, inner in value.items():
        if name in IDS:
            raw = bytes.fromhex(inner)
            assert len(raw) == IDS[name] and any(raw), f"{name}: {inner}"
            inner = base64.b64encode(raw).decode()
        elif name in ("kind", "code"):
            assert isinstance(inner, int), f"{name}: {inner}"
        read[name] = ids_as_proto3(inner)
    return read


told = []
for line in sys.stdin:
    post = json_format.ParseDict(ids_as_proto3(json.loads(line)), ExportTraceServiceRequest())
    # Nothing is lost where it goes on in the binary form.
    assert ExportTraceServiceRequest.FromString(post.SerializeToString()) == post
    for of_one in post.resource_spans:
        resource = {one.key: one.value.string_value for one in of_one.resource.attributes}
        for scope in of_one.scope_spans:
            for span in scope.spans:
                assert span.start_time_unix_nano <= span.end_time_unix_nano
                facts = {
                    one.key: getattr(one.value, one.value.WhichOneof("value"))
                    for one in span.attributes
                }
                told.append({
                    "service": resource["service.name"],
                    "scope": scope.scope.name,
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": Span.SpanKind.Name(span.kind),
                    "status": Status.StatusCode.Name(span.status.code),
                    "took_ns": span.end_time_unix_nano - span.start_time_unix_nano,
                    "facts": facts,
                })
print(json.dumps(told))
