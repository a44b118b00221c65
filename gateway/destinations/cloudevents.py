"""CloudEvents 1.0 over HTTP, binary or structured: the event's own id, source, type and time as attributes.

Form: "CloudEvents" 1.0.2 (attributes: ``source`` is a URI-reference, ``type`` and ``id`` are texts that are not empty),
"HTTP Protocol Binding" (3.1 binary with ``ce-`` headers whose values are percent-encoded, 3.2 structured) and "JSON Event
Format" (``data``, or ``data_base64`` for bytes that are not JSON).
"""

import base64
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import msgspec

from gateway.destinations.answers import read_status
from gateway.destinations.escapes import one_line
from gateway.destinations.http import content_of
from gateway.destinations.kind import Kind, Option
from gateway.destinations.requests import decompressed, http_request, json_bytes
from gateway.destinations.target import Parts, Target
from gateway.model import HttpRequest
from gateway.wording import iso_time

_STRUCTURED: Final = "application/cloudevents+json"
#: Every printable character of ASCII but the space, the quote and the percent sign (HTTP Protocol Binding, 3.1.3.2).
_UNENCODED: Final = "".join(chr(each) for each in range(0x21, 0x7F) if chr(each) not in '"%')


def build(target: Target, parts: Parts) -> HttpRequest:
    """A POST of the event in the mode of the destination.

    BuildError for what JSON cannot encode and, in the structured mode, for a compressed body that is broken.
    """
    body, headers = content_of("POST", parts)
    attributes = _attributes(target, parts)
    if target.options.get("mode") == "structured":
        body = decompressed(parts.event) if parts.content is None else body
        body = json_bytes({**attributes, **_data(body, headers.get("content-type", ""))})
        headers = {name: value for name, value in headers.items() if name != "content-encoding"}
        headers["content-type"] = _STRUCTURED
    else:
        headers |= {f"ce-{name}": quote(value, safe=_UNENCODED, errors="replace") for name, value in attributes.items()}
    return http_request(target, parts, method="POST", url=target.url, body=body, defaults=headers)


def _attributes(target: Target, parts: Parts) -> dict[str, str]:
    event = parts.event
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": target.options.get("source") or quote(event.source, safe=""),
        "type": target.options.get("event_type") or event.type,
        "time": iso_time(event.received_at),
    }
    subject = target.options.get("subject")
    return {**attributes, **({"subject": subject} if subject else {})}


def _data(body: bytes, content_type: str) -> dict[str, object]:
    """``data`` with its content type: JSON as it is, and anything else as base64; nothing for an empty body."""
    if not body:
        return {}
    kind = {"datacontenttype": content_type} if content_type else {}
    essence = content_type.partition(";")[0].strip().lower()
    if essence == "application/json" or essence.endswith("+json"):
        try:
            msgspec.json.decode(body)
        except (ValueError, RecursionError):
            pass
        else:
            return {**kind, "data": msgspec.Raw(body)}
    return {**kind, "data_base64": base64.b64encode(body).decode()}


CLOUDEVENTS = Kind(
    name="cloudevents",
    title="CloudEvents",
    needs="``url``",
    sends="the event as a CloudEvent: its id, source, type and time, with ``text``, ``body`` or the bytes received as data",
    keys=frozenset({"url", "headers", "auth"}),
    is_path_public=True,
    options=MappingProxyType(
        {
            "mode": Option(
                about="binary: attributes in ce- headers; structured: all of it as one JSON object; binary if left out",
                pattern="binary|structured",
            ),
            "source": Option(
                about="the attribute source, a URI or a relative one; the event's source if left out: /crm/leads",
                escape=one_line,
            ),
            "event_type": Option(
                about="the attribute type; the event's type if left out: com.example.{{ event.type }}", escape=one_line
            ),
            "subject": Option(about='the attribute subject: "{{ attrs.id }}"; none if left out', escape=one_line),
        }
    ),
    build=build,
    read=read_status,
)
