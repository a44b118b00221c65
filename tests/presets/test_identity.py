"""No unsigned part of a request decides which event it is: it can neither repeat an event nor suppress another one."""

import gzip
import json
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway import presets
from gateway.config import load
from gateway.errors import Unparsable
from gateway.rehearsal.rehearse import request_of
from gateway.signatures import CannotSign, Request, Verified
from gateway.signatures.declared import scheme_of
from tests.presets.test_vectors import FILES, requested

#: What identifies an event of each preset. ``body``: the hash of what is signed.
IDENTITY = {
    "adyen": "payload.notificationItems.0.NotificationRequestItem.pspReference payload.notificationItems.0.NotificationRequestItem.eventCode payload.notificationItems.0.NotificationRequestItem.success",
    "adyen-platform": "body",
    "airtable": "body",
    "alertmanager": "body",
    "argo-cd": "body",
    "asana": "body",
    "auth0": "payload.log_id",
    "azure-devops": "body",
    "azure-event-grid": "payload.topic payload.id",
    "basic": "body",
    "bearer": "body",
    "bigcommerce": "body",
    "bitbucket": "body",
    "bitbucket-server": "body",
    "brevo": "body",
    "buildkite": "body",
    "cal-com": "body",
    "calendly": "body",
    "chargebee": "payload.id",
    "circleci": "payload.id",
    "clerk": "headers.svix-id",
    "cloudflare": "body",
    "contentful": "body",
    "customer-io": "payload.event_id",
    "datadog": "payload.id",
    "discord": "payload.id",
    "discord-events": "body",
    "docker-hub": "body",
    "docusign": "payload.configurationId payload.data.envelopeId payload.data.recipientId payload.event payload.generatedDateTime",
    "dropbox": "body",
    "fastly": "body",
    "figma": "body",
    "forgejo": "body",
    "freshdesk": "body",
    "front": "payload.payload.id",
    "front-rules": "payload.id",
    "fusionauth": "payload.event.id",
    "gitea": "body",
    "github": "body",
    "gitlab": "headers.webhook-id",
    "gitlab-token": "headers.idempotency-key",
    "gocardless": "payload.id",
    "grafana": "body",
    "gumroad": "body",
    "header-token": "body",
    "healthchecks": "body",
    "help-scout": "body",
    "hmac-sha256": "body",
    "hubspot": "payload.subscriptionId payload.eventId payload.objectId payload.occurredAt",
    "hubspot-v1": "payload.subscriptionId payload.eventId payload.objectId payload.occurredAt",
    "hubspot-v2": "payload.callbackId",
    "intercom": "payload.id",
    "jenkins": "body",
    "jira": "body",
    "klaviyo": "payload.external_id",
    "lemon-squeezy": "body",
    "line": "payload.webhookEventId",
    "linear": "body",
    "mailchimp": "body",
    "mailgun": "payload.signature.token",
    "mailgun-routes": "payload.token",
    "make": "headers.webhook-id",
    "meta": "body",
    "microsoft-graph": "payload.subscriptionId payload.id",
    "mollie": "payload.id",
    "monday": "payload.event.subscriptionId payload.event.triggerUuid payload.event.pulseId",
    "notion": "payload.id",
    "okta": "payload.uuid",
    "openai": "headers.webhook-id",
    "paddle": "payload.event_id",
    "pagerduty": "payload.event.id",
    "paypal": "headers.paypal-transmission-id",
    "paystack": "body",
    "pipedrive": "payload.meta.version payload.meta.webhook_id payload.meta.id",
    "polar": "headers.webhook-id",
    "posthog": "payload.event.uuid",
    "postmark": "headers.x-pm-webhook-trace-id",
    "razorpay": "body",
    "recurly": "body",
    "replicate": "headers.webhook-id",
    "resend": "headers.svix-id",
    "salesforce": "body",
    "sanity": "body",
    "sendgrid": "payload.sg_event_id",
    "sentry": "body",
    "shopify": "body",
    "slack": "payload.event_id",
    "sns": "payload.MessageId",
    "sns-v1": "payload.MessageId",
    "square": "payload.event_id",
    "standard-webhooks": "headers.webhook-id",
    "stripe": "payload.id",
    "supabase": "body",
    "svix": "headers.svix-id",
    "tally": "payload.eventId",
    "telegram": "payload.update_id",
    "telnyx": "payload.data.id",
    "trello": "payload.action.id payload.model.id",
    "twilio": "body",
    "twitch": "headers.twitch-eventsub-message-id",
    "typeform": "payload.event_id",
    "uptime-kuma": "body",
    "url-secret": "body",
    "vercel": "payload.id",
    "webflow": "body",
    "woocommerce": "body",
    "workos": "payload.id",
    "x": "payload.data.event_uuid",
    "xobito": "payload.event.id",
    "xobito-resend": "body",
    "zapier": "body",
    "zendesk": "payload.zendesk_event_version payload.id",
    "zendesk-body-first": "payload.zendesk_event_version payload.id",
    "zoom": "body",
}

#: By preset: what its schemes sign. A sender that shows the secret itself signs nothing; see the last test.
SIGNED = {
    name: [
        block.get("signature", {}).get("signed", "{body}")
        for block in presets.load(name).verify
        if "signature" in block or block.get("jwt", {}).get("body_hash")
    ]
    for name in presets.NAMES
}
SIGNING = [name for name in presets.NAMES if SIGNED[name]]
ACCEPTED = [
    pytest.param(name, vector, id=f"{name}: {vector['name']}")
    for name in SIGNING
    for vector in FILES[name]
    if vector["verdict"] == "accepted" and vector["request"]["method"] == "POST"
]
CONTENT_TYPES = [
    *("application/json", "application/x-www-form-urlencoded", "text/plain", "application/xml", "text/html"),
    "multipart/form-data; boundary=x",
    *("application/x-ndjson", "application/json; charset=iso-8859-1", "text/plain; charset=windows-1252"),
]
CODINGS = ["gzip", "deflate", "identity"]


@cache
def source_of(name, secrets=("${A_SECRET}",), url="https://hooks.example.com/in/it", more=""):
    text = f"version: 1\nsources:\n  it:\n    preset: {name}\n    public_url: {url}\n{more}"
    if any("jwt" in block for block in presets.load(name).verify):
        text += "    verify: {jwt: {jwks: https://auth.example.com/.well-known/jwks.json}}\n"
    else:
        text += f"    secret: {json.dumps(list(secrets))}\n"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "routes.yaml"
        path.write_text(f"{text}destinations: {{}}\n")
        return load(path, environ={}, no_env=True).sources["it"]


def keys(source, request):
    found = source.received(request.headers, request.body, now=0.0, query=request.query)
    return [each.key for each in found]


def changed(request, *, headers=None, body=None, query=None):
    return Request(
        method=request.method,
        headers=request.headers if headers is None else headers,
        body=request.body if body is None else body,
        query=request.query if query is None else query,
        path_secret=request.path_secret,
    )


def replayed(source, request):
    """The request again with one unsigned thing changed, as somebody without the secret would send it."""
    read = {
        path[1]
        for template in (*source.naming.ids, *source.naming.labels, *source.naming.types)
        for path in template.paths
        if path[0] == "headers"
    }
    for name in {name for name, _ in request.headers} | {name.encode() for name in read}:
        rest = [field for field in request.headers if field[0] != name]
        yield changed(request, headers=rest)
        yield changed(request, headers=[*rest, (name, b"chosen")])
    rest = [field for field in request.headers if field[0] != b"content-type"]
    for type_ in CONTENT_TYPES:
        yield changed(request, headers=[*rest, (b"content-type", type_.encode())])
    rest = [field for field in request.headers if field[0] != b"content-encoding"]
    for coding in CODINGS:
        yield changed(request, headers=[*rest, (b"content-encoding", coding.encode())])
    yield changed(request, query=b"chosen=1")
    for body in bodies(request.body):
        yield changed(request, body=body)


def bodies(body):
    """Bodies that look alike to a careless scheme."""
    yield from (body + b" ", b" " + body)
    fields = body.split(b"&")
    yield b"&".join(reversed(fields))
    yield b"&".join([*fields, fields[0]])
    yield body.replace(b"%2B", b"%2b")
    # a=bc and ab=c are the same text without what divides them.
    yield from (body[:at] + b"=" + body[at:].replace(b"=", b"", 1) for at in range(1, min(len(body), 40)))
    yield body.replace(b'"event"', b'"event" ', 1)


def test_every_preset_says_what_identifies_its_events():
    found = {}
    for name in presets.NAMES:
        first = next(iter(source_of(name).naming.ids), None)
        found[name] = " ".join(map(".".join, first.paths)) if first else "body"
    assert found == IDENTITY


@pytest.mark.parametrize("name", SIGNING)
def test_what_identifies_an_event_is_in_what_is_signed(name):
    for template in source_of(name).naming.ids:
        for root, *rest in template.paths:
            for signed, block in zip(SIGNED[name], presets.load(name).verify, strict=True):
                if f"{{header:{'.'.join(rest)}}}" in signed or f",{'.'.join(rest)}," in signed:
                    continue
                if root == "headers":
                    assert "{id}" in signed
                    assert block["id"]["header"] == ".".join(rest)
                else:
                    assert "{body}" in signed or f"{{payload:{'.'.join(rest)}}}" in signed


@pytest.mark.parametrize(("name", "vector"), ACCEPTED)
def test_a_captured_request_stays_the_same_event_whatever_unsigned_is_changed(name, vector):
    source = source_of(name, tuple(vector["secrets"]), vector.get("public_url") or "https://hooks.example.com/in/it")
    if not source.dedupe_s:
        pytest.skip("every request of it is an event")
    request = requested(vector["request"])
    documents = {url: text.encode() for url, text in vector.get("documents", {}).items()}
    assert isinstance(source.verifier.verify(request, vector["at"], documents=documents), Verified)
    try:
        first = keys(source, request)
    except Unparsable:
        pytest.skip("a signed text that is not an event")
    tried = 0
    for again in replayed(source, request):
        if isinstance(source.verifier.verify(again, vector["at"], documents=documents), Verified):
            try:
                assert keys(source, again) == first, again
            except Unparsable:
                continue
            tried += 1
    assert tried


#: What a sender may sign besides plain JSON: what it means must not depend on what nobody signed.
ODD_BODIES = {
    "compressed": gzip.compress(b'{"id": "evt_1", "type": "a"}', mtime=0),
    "zlib": zlib.compress(b'{"id": "evt_1", "type": "a"}'),
    "compressed lines": gzip.compress(b'{"id": "1", "type": "a"}\n{"id": "2", "type": "b"}', mtime=0),
    "lines": b'{"id": "1", "type": "a"}\n{"id": "2", "type": "b"}\n',
    "a BOM": b'\xef\xbb\xbf{"id": "evt_1", "type": "a"}',
    "another charset": b'{"id": "caf\xe9", "type": "a"}',
    "UTF-8": '{"id": "café", "type": "a"}'.encode(),
    "nothing": b"",
}


@pytest.mark.parametrize("body", ODD_BODIES.values(), ids=ODD_BODIES)
@pytest.mark.parametrize("signed", ["{body}", "{content}"])
def test_an_odd_body_stays_the_same_event_whatever_unsigned_is_changed(tmp_path, signed, body):
    file = tmp_path / "routes.yaml"
    file.write_text(
        f"version: 1\nsources: {{it: {{verify: {{signature: {{header: x-sign, signed: '{signed}'}}}}, "
        "secret: a-secret-of-tests-1, type: '{payload.type}', id: '{payload.id}'}}\ndestinations: {}\n"
    )
    source = load(file, environ={}).sources["it"]
    made = source.verifier.sign(Request(headers=[], body=body), 0.0, "")
    headers = [(name.encode(), value.encode()) for name, value in made.headers]
    found = set()
    for again in replayed(source, Request(headers=headers, body=body)):
        if isinstance(source.verifier.verify(again, 0.0), Verified):
            with suppress(Unparsable):
                found.add(tuple(keys(source, again)))
    assert len(found) == 1, found


@pytest.mark.parametrize("coding", [gzip.compress, zlib.compress])
def test_where_the_content_is_signed_its_compression_identifies_nothing(tmp_path, coding):
    file = tmp_path / "routes.yaml"
    file.write_text(
        "version: 1\nsources: {it: {verify: {signature: {header: x-sign, signed: '{content}'}}, "
        "secret: a-secret-of-tests-1, type: a}}\ndestinations: {}\n"
    )
    source = load(file, environ={}).sources["it"]
    body = b'{"id": 1}'
    made = source.verifier.sign(Request(headers=[], body=body), 0.0, "")
    headers = [(name.encode(), value.encode()) for name, value in made.headers]
    packed = Request(headers=headers, body=coding(body))
    assert isinstance(source.verifier.verify(packed, 0.0), Verified)
    assert keys(source, packed) == keys(source, Request(headers=headers, body=body))


@pytest.mark.parametrize("name", [name for name in SIGNING if source_of(name).naming.labels])
def test_the_same_unsigned_id_with_another_body_is_another_event_and_the_id_is_kept(name):
    source = source_of(name)
    type_ = next(iter(presets.load(name).samples))
    [read] = {".".join(path[1:]) for template in source.naming.labels for path in template.paths}
    headers = [(read.encode(), b"the-same-id")]
    found = []
    for more in (b"", b" "):
        body = presets.load(name).samples[type_] + more
        try:
            signed = request_of(source, body, type_, 1_800_000_000.0).headers
        except CannotSign:
            signed = []
        rest = [field for field in signed if field[0] != read.encode()]
        found += source.received([*rest, *headers], body, now=0.0)
    if source.naming.ids or name in ("linear", "twilio"):
        # Its own id is signed, or blanks are not.
        assert [each.event.label for each in found] == ["the-same-id"] * 2
    else:
        assert found[0].key != found[1].key
        assert [each.event.label for each in found] == ["the-same-id"] * 2


def test_a_retry_of_linear_that_was_signed_at_another_time_is_the_same_event():
    source = source_of("linear")
    body = json.loads(presets.load("linear").samples["Issue.create"])
    later = json.dumps({**body, "webhookTimestamp": body["webhookTimestamp"] + 60_000}).encode()
    other = json.dumps({**body, "createdAt": "2026-03-02T09:31:00.000Z"}).encode()
    [first], [retry], [another] = (
        keys(source, Request(headers=[], body=each)) for each in (json.dumps(body).encode(), later, other)
    )
    assert first == retry != another


def test_calls_of_twilio_with_another_signed_query_are_different_events():
    source = source_of("twilio")
    form = b"CallSid=CA1&CallStatus=ringing"
    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    found = {keys(source, Request(headers=headers, body=form, query=query))[0] for query in (b"", b"leg=1", b"leg=2")}
    assert len(found) == 3


def test_where_the_body_is_not_signed_an_id_in_it_is_a_label():
    source = source_of("mailgun", more='    id: "{payload.event-data.id}"\n')
    body = json.loads(next(iter(presets.load("mailgun").samples.values())))
    other = json.loads(json.dumps(body))
    other["event-data"]["id"] = "chosen"
    found = [source.received([], json.dumps(each).encode(), now=0.0)[0] for each in (body, other)]
    assert found[0].key == found[1].key
    assert found[1].event.label == "chosen"


@pytest.mark.parametrize("name", sorted(set(presets.NAMES) - set(SIGNING)))
def test_who_shows_the_secret_itself_could_send_anything_so_every_part_counts_alike(name):
    """Nobody sees such a request without the secret in it: a hash of the body would protect nothing more than an id."""
    assert not source_of(name).naming.labels
    assert all(scheme_of(block).way != "signature" for block in presets.load(name).verify)
