"""Dicts as ``views`` and the API make them: an hour in the life of a gateway."""

import json
from functools import cache
from math import sin
from pathlib import Path
from random import Random
from typing import Any

from gateway import presets
from gateway.config import load
from gateway.operate.conditions import condition, lately
from gateway.rehearsal.explained import explained
from gateway.rehearsal.rehearse import rehearse, sender_headers
from gateway.routing import Config
from gateway.routing.cases import sample

NOW = "2026-11-28T03:12:40.000Z"
REVISION = "9f2c01ab"
SAMPLES = presets.load("xobito").samples


@cache
def shipped() -> Config:
    return load(Path(__file__).parents[2] / "routes.yaml", environ={}, no_env=True)


@cache
def why(type: str) -> dict[str, Any]:
    """What the shipped file makes of a sample."""
    source = shipped().sources["xobito"]
    body = sample(source, type)
    return explained(shipped(), rehearse(shipped(), source, body, sender_headers(source, body, type), 0.0))


def a_shell(**changes) -> dict[str, Any]:
    return {
        "page": "live", "now": NOW, "file": "routes.yaml", "revision": REVISION, "rejection": None, "others": (), "full": "", "dead": 0,
        "has_inbox": False, "has_shadow": False, "can_write": True, "signed_in": False, "notice": "", **changes,
    }  # fmt: skip


def a_rejection() -> dict[str, Any]:
    problem = {
        "file": "routes.yaml", "line": 39, "column": 5, "severity": "error",
        "message": 'unknown key "whre" in route "customer-to-crm"', "hint": 'did you mean "where"?', "text": "",
    }  # fmt: skip
    return {"since": "2026-11-28T03:09:10.000Z", "problems": [problem]}


def an_id(prefix: str, number: int) -> str:
    return f"{prefix}_0190163c-8694-739b-aea5-{number:012d}"


def a_delivery(number: int = 1, **changes) -> dict[str, Any]:
    return {
        "id": an_id("dlv", number), "event_id": an_id("evt", number), "route": "new-lead", "destination": "slack-leads",
        "state": "delivered", "attempts": 1, "due_in_s": None, "reason": "", "status": 200, "answer": "ok",
        "behind": False, "digest": None, "gathered": 0, "waits_until": None, "held": "", "last_error": None, "summary": "Ada Lovelace · customer · +14155551234", "tells_of": None, "cause": "", "replayed_by": "", "waits_for": [], **changes,
    }  # fmt: skip


def a_row(number: int = 1, deliveries: list | None = None, **changes) -> dict[str, Any]:
    return {
        "id": an_id("evt", number), "source": "xobito", "type": "contact.created",
        "received_at": f"2026-11-28T03:12:{number % 60:02d}.120Z", "size": 1184,
        "summary": "Ada Lovelace · customer · +14155551234",
        "deliveries": [a_delivery(number)] if deliveries is None else deliveries, **changes,
    }  # fmt: skip


def a_refusal(**changes) -> dict[str, Any]:
    return {
        "at": "2026-11-28T03:12:21.000Z", "source": "xobito", "path": "/in/xobito", "status": 401,
        "reason": "the signature is not the body's", "client": "203.0.113.7", "count": 3,
        "hint": "The secret in Xobito differs from XOBITO_WEBHOOK_SECRET.", **changes,
    }  # fmt: skip


def an_hour(delivered: int, *, down_for: int = 0) -> dict[str, list[int]]:
    """About this many deliveries a minute; in the last ``down_for`` minutes none succeeds."""
    noise = Random(delivered)
    usual = [max(0, round(delivered * (0.7 + 0.2 * sin(at / 7) + noise.uniform(-0.25, 0.25)))) for at in range(60)]
    is_down = [at >= 60 - down_for for at in range(60)]
    return {
        "delivered": [0 if down else count for count, down in zip(usual, is_down, strict=True)],
        "retried": [
            count + 4 if down else noise.randrange(2) * (delivered == 30) * (delivered > 20)
            for count, down in zip(usual, is_down, strict=True)
        ],
        "died": [noise.randrange(5) if down else 0 for down in is_down],
    }


def a_destination(name: str = "slack-leads", **changes) -> dict[str, Any]:
    found = {
        "name": name, "type": "slack", "in_file": True, "held": "", "waits": "", "throttled": False, "last_error": None, "login": None, "paused": None, "muted": None, "circuit": "closed",
        "failures": 0, "denied": [], "in_flight": 0, "concurrency": 32, "rate": "1/s", "address": "https://hooks.slack.com/***", "signed": "",
        "pending": 0, "dead": 0, "delivered": 48213, "discarded": 2, "oldest_due_s": 0.0, "delivered_1h": 412,
        "retried_1h": 0, "died_1h": 0, "p50_ms": 84.0, "p95_ms": 310.0, "traffic": an_hour(14), **changes,
    }  # fmt: skip
    found["condition"] = condition(found)
    return {**found, "lately": lately(found)}


def an_error(**changes) -> dict[str, Any]:
    return {
        "at": "2026-11-28T03:12:26.000Z", "reason": "answered 503: upstream is down for maintenance (an error on its side)",
        "event_id": an_id("evt", 36), **changes,
    }  # fmt: skip


def destinations() -> list[dict[str, Any]]:
    return [
        a_destination(),
        a_destination(
            "slack-ops",
            muted={"by": "mira", "reason": "their channel moves", "since": "2026-11-28T02:40:00.000Z", "until": None},
            delivered_1h=38, traffic=an_hour(2), p50_ms=91.0, p95_ms=402.0,
        ),
        a_destination(
            "crm", type="http", circuit="open", failures=7, rate="60/min", concurrency=8, pending=1204, dead=37,
            held="circuit open after 7 consecutive failures, next probe in 14 s", oldest_due_s=251.0, delivered_1h=902,
            retried_1h=311, died_1h=37, p50_ms=412.0, p95_ms=5004.0, traffic=an_hour(30, down_for=14),
            address="https://crm.example.com/api/v1", last_error=an_error(),
            login={"grant": "client_credentials", "host": "auth.example.com", "state": "ok", "needs": "", "by": "", "since": None, "until": "2026-11-28T04:04:00.000Z"},
        ),
        a_destination(
            "billing", type="http", rate="", pending=18, oldest_due_s=4100.0, delivered_1h=0, traffic=an_hour(0),
            paused={"by": "sam", "reason": "their migration", "since": "2026-11-28T02:04:00.000Z", "until": "2026-11-28T04:04:00.000Z"},
            held="paused by sam: their migration", p50_ms=None, p95_ms=None, address="http://127.0.0.1:9400/events",
        ),
        a_destination("archive", type="file", rate="", delivered_1h=1620, p50_ms=2.0, p95_ms=6.1, traffic=an_hour(40), address="archive.ndjson"),
    ]  # fmt: skip


def stats(**changes) -> dict[str, Any]:
    return {
        "in_per_s": 12.4, "received_1h": 44_120, "delivered_1h": 43_816, "delivered_pct": 99.31, "pending": 1222,
        "dead": 37, "oldest_due_s": 251.0, "received": {"xobito": an_hour(40)["delivered"], "github": [2] * 60},
        "destinations": {"crm": {"oldest_due_s": 251.0}, "archive": {"oldest_due_s": 0.0}}, **changes,
    }  # fmt: skip


CHOICES = {"sources": ["xobito", "github"], "destinations": ["slack-leads", "slack-ops", "crm", "billing", "archive"]}
NO_FILTER = {"q": "", "source": "", "type": "", "destination": "", "state": "", "since": ""}


def a_paging(**changes) -> dict[str, Any]:
    return {
        "next": "/?before=x", "first": "/", "searched_to": None, "is_live": True, "live": "/live", "is_later": False,
        **changes,
    }  # fmt: skip


def rows() -> list[dict[str, Any]]:
    crm = {"destination": "crm", "route": "contact-to-crm"}
    archive = a_delivery(9, destination="archive", route="always/archive")
    return [
        a_row(38, [archive, a_delivery(2, state="pending", attempts=0, due_in_s=0.0, status=None)]),
        a_row(37, [archive, a_delivery(3)], type="contact.updated"),
        a_row(36, [archive, a_delivery(4, **crm, state="pending", attempts=3, due_in_s=14.0, status=503, reason="answered 503")], type="contact.updated"),
        a_row(33, [archive], type="message.delivered", size=604),
        a_refusal(),
        a_row(19, [archive, a_delivery(5, **crm, state="dead", attempts=1, status=422, reason="answered 422: phone is not valid"), a_delivery(6, destination="slack-ops", route="failed")], type="contact.updated"),
        a_row(15, [archive, a_delivery(7, destination="slack-ops", route="contact-deleted")], type="contact.deleted", size=402),
        a_refusal(at="2026-11-28T03:12:12.000Z", status=202, reason="duplicate of evt_0190163c…0015, 40 s ago: not delivered again", count=1, hint=""),
        a_row(11, [], type="pull_request.review_requested", source="github", size=24310),
        a_row(8, [archive, a_delivery(8, **crm, state="pending", attempts=0, behind=True)], type="contact.updated"),
        a_row(4, [archive, a_delivery(10, **crm, state="discarded", attempts=2)], type="contact.updated"),
    ]  # fmt: skip


def senders() -> list[dict[str, str]]:
    return [
        {"source": "xobito", "url": "http://127.0.0.1:8080/in/xobito", "command": "gateway send contact.created"},
    ]


def an_attempt(number: int = 1, **changes) -> dict[str, Any]:
    return {
        "number": number, "started_at": f"2026-11-28T03:10:{number * 3 % 60:02d}.000Z", "duration_ms": 84.2,
        "outcome": "delivered", "status": 200, "reason": "", "answer": "ok", "config": REVISION, "sent_bytes": 412,
        "sent_sha256": "ab" * 32, "next_s": None, "memory": [], "lookups": [], "choice": None, **changes,
    }  # fmt: skip


HELD = {"held": "circuit open after 7 consecutive failures, next probe in 14 s", "last_error": an_error()}


def an_event(sample: str = "contact.updated", **changes) -> dict[str, Any]:
    """With a delivery that succeeded, one that is retried and one that is dead."""
    number = 36
    own = {"event_id": an_id("evt", number)}
    retry = {
        "outcome": "retry",
        "status": 503,
        "reason": "answered 503 Service Unavailable",
        "answer": "<h1>503</h1>upstream is down",
    }
    return {
        "id": an_id("evt", number), "source": "xobito", "type": sample, "received_at": "2026-11-28T03:09:58.000Z",
        "size": len(SAMPLES[sample]), "label": "", "invalid": None, "sha256": "5a" * 32, "intact": True, "body_is": "kept",
        "query": {}, "summary": "Ada Lovelace · customer · +14155551234",
        "headers": {"content-type": "application/json", "x-webhook-signature": "***", "user-agent": "Xobito-Webhook/1.0"},
        "payload": json.loads(SAMPLES[sample]),
        "deliveries": [
            {**a_delivery(1, **own, route="always/archive", destination="archive"), "attempts_made": [an_attempt(1, duration_ms=2.1, answer="")]},
            {**a_delivery(2, **own, route="customer-won"), "attempts_made": [an_attempt(1)]},
            {
                **a_delivery(3, **own, route="contact-to-crm", destination="crm", state="pending", attempts=3, due_in_s=14.2, status=503, reason="answered 503", **HELD),
                "attempts_made": [
                    an_attempt(1, **retry, config="1c88e07d", next_s=1.1), an_attempt(2, **retry, config="1c88e07d", next_s=2.3, duration_ms=5002),
                    an_attempt(3, outcome="retry", status=None, reason="no answer within 5 s", answer="", next_s=18.9, duration_ms=5000),
                ],
            },
            {
                **a_delivery(4, **own, route="big-deal", destination="slack-ops", state="dead", attempts=1, status=None, reason="templates/slack/deal.json.j2:4: attrs.company is missing"),
                "attempts_made": [an_attempt(1, outcome="dead", status=None, reason="templates/slack/deal.json.j2:4: attrs.company is missing", answer="", duration_ms=0.4, sent_bytes=0)],
            },
        ],
        "held_back": [{"route": "welcome", "key": "451", "event_id": an_id("evt", 4), "fired_at": "2026-11-27T22:09:00.000Z"}],
        "entries": entries(sample), "requests": requests(sample), "why_not_explained": "", "test": '  - name: "a"', **changes,
    }  # fmt: skip


def entries(type: str) -> list[dict[str, Any]]:
    """Those of the shipped file, and one that comes close."""
    every = list(why(type)["entries"])
    match = {"text": f"match: {type}", "held": True, "field": "event.type", "missing": False, "seen": type}
    customer = {"text": "is: customer", "held": True, "inner": [{"text": "attrs.type: customer", "held": True}]}
    status = {"text": "attrs.status_id: [5, 6]", "held": False, "field": "attrs.status_id", "missing": False, "seen": 3}
    size = {"text": "attrs.company_size: {gt: 50}", "held": False, "field": "attrs.company_size", "missing": True}
    close = {**every[1], "name": "key-account", "place": "routes.yaml:77", "ignores": False, "ends": False}
    every.insert(6, {**close, "clauses": [match, customer, status, size]})
    return every


def requests(type: str) -> list[dict[str, Any]]:
    made = why(type)["deliveries"]
    gone = {
        "route": "big-deal",
        "destination": "slack-ops",
        "request": None,
        "error": "templates/slack/deal.json.j2:4: attrs.company is missing",
        "retry": "",
    }
    return [
        {**each, "delivery_id": an_id("dlv", number), "changed": each["destination"] == "crm"}
        for number, each in enumerate([*made, gone], start=1)
    ]


KINDS = {"slack-leads": "slack", "slack-ops": "slack", "crm": "http", "archive": "file"}


def activities() -> list[dict[str, Any]]:
    return [
        an_activity(),
        an_activity(2, verb="reload", by="file watcher", subject="9f2c01ab: 1 route changed (new-lead)", reason="", progress=None),
        an_activity(3, verb="pause", by="sam", subject="billing", reason="their migration", progress=None),
        an_activity(4, verb="send", by="mira", subject="slack-leads", reason="from the playground: contact.created by new-lead", progress=None),
    ]  # fmt: skip


def a_map() -> dict[str, Any]:
    route = {
        "section": "routes", "place": "routes.yaml:41", "sources": None, "types": ["contact.created"], "destinations": ["slack-leads"],
        "matched_1h": 41, "last_match": "2026-11-28T03:12:01.000Z", "is_silent": False, "shadow": False,
    }  # fmt: skip
    return {
        "sources": [
            {"name": "xobito", "preset": "xobito", "path": "/in/xobito", "received_1h": 44_000, "traffic": [4] * 60, "refused_1h": 3},
            {"name": "github", "preset": "github", "path": "/in/github", "received_1h": 120, "traffic": [2] * 60, "refused_1h": 0},
        ],
        "routes": [
            {**route, "name": "archive-all", "section": "always", "types": [], "destinations": ["archive"]},
            {**route, "name": "new-lead"},
            {**route, "name": "contact-to-crm", "sources": ["xobito"], "destinations": ["crm"], "is_silent": True, "last_match": None},
            {**route, "name": "whatsapp-traffic", "types": ["message.*"], "destinations": []},
        ],
        "destinations": destinations(), "is_part": True, "since": "2026-11-28T01:12:01.000Z",
    }  # fmt: skip


def a_draft(**changes) -> dict[str, str]:
    return {
        "source": "xobito", "payload": SAMPLES["contact.created"].decode(), "headers": "", "entry": "name: new-lead\nto: slack-leads\n",
        "template": "", "template_text": "", "kind": "", **changes,
    }  # fmt: skip


def a_play(sample: str = "contact.created", **changes) -> dict[str, Any]:
    return {"problems": [], "warnings": [], "error": "", "test": '  - name: "a"', **why(sample), **changes}


PLAY_CHOICES = {
    "samples": {"xobito": sorted(SAMPLES), "github": ["push"]}, "routes": ["new-lead", "contact-to-crm"], "templates": ["lead.json.j2"],
    "kinds": {"slack": "Slack", "teams": "Teams"}, "destinations": ["slack-leads", "crm"],
}  # fmt: skip
NO_REFUSED_FILTER = {"source": "", "client": "", "reason": ""}


def a_shadow() -> dict[str, Any]:
    lines = ["- POST https://crm.example.com/v1", "+ PUT https://crm.example.com/v1/<b>\u202e", "…"]
    difference = {"kind": "changed", "route": "to-crm", "destination": "crm", "lines": lines}
    event = {"event_id": "evt_1", "source": "xobito", "type": "contact.created", "received_at": NOW, "same": 1}
    return {
        "shadows": ["shadow: true", "new.yaml"], "problem": "new.yaml:3:1: unknown key", "since": NOW, "compared": 1204,
        "same": 1200, "skipped": 17, "counts": [], "kept": 1002,
        "results": [
            {"shadow": "new.yaml", **event, "differences": [difference], "why_not": ""},
            {"shadow": "new.yaml", **event, "differences": [], "why_not": "the stored body cannot be read"},
        ],
    }  # fmt: skip


def a_source() -> dict[str, Any]:
    return {
        **a_map()["sources"][0], "address": "https://gateway.example.com/in/xobito", "secret_from": "${XOBITO_WEBHOOK_SECRET}", "token_from": "",
        "silent_s": 4000.0, "awaited": 3,
        "samples": sorted(SAMPLES),
    }  # fmt: skip


LOADED = {"sample": "xobito/contact.created", "event": "", "route": "new-lead"}


def groups() -> list[dict[str, Any]]:
    return [
        {"destination": "crm", "cause": "answered 422", "count": 1204},
        {"destination": "crm", "cause": "no answer within 5 s", "count": 310},
        {"destination": "crm", "cause": "answered 503: retried for 24 h", "count": 37},
        {
            "destination": "slack-leads",
            "cause": "templates/slack/contact-created.json.j2:9: attrs.firstname is missing",
            "count": 12,
        },
    ]


def a_progress(**changes) -> dict[str, Any]:
    return {
        "total": 1204,
        "moved": 800,
        "pending": 112,
        "delivered": 676,
        "dead": 12,
        "not_sent": 0,
        "finished": False,
        "over": False,
        "stopped_by": None,
        **changes,
    }


def an_activity(number: int = 1, **changes) -> dict[str, Any]:
    return {
        "id": an_id("act", number), "at": "2026-11-28T03:10:02.000Z", "by": "mira", "verb": "replay",
        "subject": "1,204 dead deliveries to crm, answered 422", "reason": "the phone field is fixed", "progress": a_progress(),
        **changes,
    }  # fmt: skip


def opened() -> dict[str, Any]:
    dead = {"state": "dead", "attempts": 1, "status": 422, "destination": "crm", "route": "contact-to-crm"}
    return {
        "title": "answered 422", "destination": "crm", "count": 1204, "selection": {"destination": "crm", "cause": "answered 422"},
        "rows": [
            {**a_delivery(at, **dead, reason='answered 422: {"error":"phone is not valid"}'), "type": "contact.updated", "at": f"2026-11-28T02:4{at % 10}:11.000Z"}
            for at in range(1, 13)
        ],
        "next": "/dead?destination=crm&before=x", "searched_to": None,
    }  # fmt: skip


def a_plan(**changes) -> dict[str, Any]:
    return {
        "count": 1204,
        "sample": opened()["rows"][:5],
        "warnings": ["31 of these records had a later event that was delivered: a replay would put an older state over it"],
        **changes,
    }  # fmt: skip
