"""Dicts of ``views`` about events and destinations, prepared for templates."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final
from urllib.parse import quote

import msgspec

from gateway.console import text, words
from gateway.console.chats import preview
from gateway.destinations import KINDS, Kind
from gateway.event.paths import lookup
from gateway.model import HttpRequest
from gateway.operate.outcomes import deed, is_refused
from gateway.rehearsal import curl

View = Mapping[str, Any]

#: With more attempts than this, those between the first and the last ones are folded.
MOST_ATTEMPTS: Final = 8
_FIRST: Final = 2
#: Characters of the longest command shown; one cut short would send something else.
LONGEST_CURL: Final = 20_000
#: Most urgent first.
_BY_TROUBLE: Final = ("dead", "paused", "retrying", "delivered", "idle", "discarded")


# --- one event ---


def of(event: View, *, revision: str, kinds: Mapping[str, str]) -> Mapping[str, Any]:
    """Everything the page of one event shows."""
    requests = {each["delivery_id"]: each for each in event["requests"]}
    deliveries = [_delivery(each, requests, event, kinds) for each in event["deliveries"]]
    states = [each["state"] for each in deliveries]
    return {
        "event": {**event, "deliveries": deliveries},
        "failed": states.count("dead"),
        "waiting": states.count("pending"),
        "summary": summary(states),
        "taken": _taken(event["entries"]),
        "sections": list(_sections(event["entries"])),
        "payload": _payload(event),
        "test": event["test"],
        **_revisions(event["deliveries"], revision),
    }


def played(found: View, kinds: Mapping[str, str]) -> Mapping[str, Any]:
    """Everything that the playground shows of a draft, from what ``operate.playground`` found."""
    deliveries = [_played(each, kinds.get(each["destination"], "")) for each in found["deliveries"]]
    return {"deliveries": deliveries, "sections": list(_sections(found["entries"])), "test": found["test"]}


def _played(delivery: View, kind: str) -> Mapping[str, Any]:
    content = _content(delivery["request"])
    shown = preview(kind, content) if kind else None
    limits = _limits(KINDS[kind], content) if kind in KINDS else []
    return {
        "not_shown": delivery.get("discarded", ""),
        "lookups": (),
        "assumed": "",
        **delivery,
        "content": content,
        "preview": shown,
        "limits": limits,
    }


def _limits(kind: Kind, content: Any) -> Sequence[Mapping[str, Any]]:
    """How much of what the vendor allows a message takes."""
    if content is None:
        return []
    size = len(content.encode("utf-8", "replace")) if isinstance(content, str) else len(msgspec.json.encode(content))
    found: list[Mapping[str, Any]] = [{"what": "body, bytes", "number": size, "most": None, "is_over": False}]
    said = lookup(content, kind.text_at)
    if kind.longest is not None and isinstance(said, str):
        found.append({"what": "text", "number": len(said), "most": kind.longest, "is_over": len(said) >= kind.longest})
    return found


def _taken(entries: Sequence[View]) -> str:
    """``2 of 9 matched``, counting the entries that events are matched with; empty if there are none."""
    routes = [each for each in entries if each["section"] != "failed"]
    return f"{sum(each['taken'] for each in routes)} of {len(routes)} matched" if routes else ""


def summary(states: Sequence[str]) -> str:
    """``2 delivered, 1 dead``."""
    words_ = {"delivered": "delivered", "pending": "waiting", "dead": "dead", "discarded": "discarded"}
    return ", ".join(f"{states.count(state)} {word}" for state, word in words_.items() if state in states)


def _delivery(delivery: View, requests: Mapping[str, View], event: View, kinds: Mapping[str, str]) -> Mapping[str, Any]:
    rehearsed = requests.get(delivery["id"], {})
    request = rehearsed.get("request")
    content = _content(request)
    kind = kinds.get(delivery["destination"], "")
    return {
        **delivery,
        "request": request,
        "content": content,
        "is_broken": bool(rehearsed.get("error")),
        "waits": _waits(delivery),
        "lookups": rehearsed.get("lookups", ()),
        "assumed": rehearsed.get("assumed", ""),
        "why_no_request": _why_no_request(event, rehearsed),
        "changed": rehearsed.get("changed") is True,
        "retry": rehearsed.get("retry", ""),
        "preview": preview(kind, content) if kind else None,
        "curl": _curl(request, content),
        "steps": list(_steps(delivery)),
    }


def _waits(delivery: View) -> str:
    """What a delivery waits for that was put back without an attempt; empty: nothing of that kind."""
    made = delivery["attempts_made"]
    is_news = delivery["state"] == "pending" and (not made or made[-1]["reason"] != delivery["reason"])
    return str(delivery["reason"]) if is_news else ""


def _why_no_request(event: View, rehearsed: View) -> str:
    """Why no request is shown, in words; empty if one is, or if the event was forgotten, which the page says once."""
    if event["body_is"] == "forgotten":
        return ""
    if rehearsed.get("error"):
        return f"The request cannot be built: {rehearsed['error']}"
    if rehearsed.get("discarded"):
        return f"Nothing would be sent: {rehearsed['discarded']}"
    return (
        f"The request is not shown: {rehearsed['not_shown']}"
        if "not_shown" in rehearsed
        else str(event["why_not_explained"])
    )


def _content(request: View | None) -> Any:
    if request is None:
        return None
    content = request.get("line") if "file" in request else request.get("body")
    return None if content == "" else content


def content_of(body: str) -> Any:
    """The value if it is JSON, else the text."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return body


def _steps(delivery: View) -> Iterator[Mapping[str, Any]]:
    """The attempts; if there are many, those in the middle are one ``fold``."""
    made = [{**each, "delivery_id": delivery["id"]} for each in delivery["attempts_made"]]
    if len(made) <= MOST_ATTEMPTS:
        yield from made
        return
    last = MOST_ATTEMPTS - _FIRST - 1
    yield from made[:_FIRST]
    yield {"fold": made[_FIRST:-last]}
    yield from made[-last:]


def _revisions(deliveries: Sequence[View], revision: str) -> Mapping[str, Any]:
    """Revisions other than the one in force that made attempts."""
    used = dict.fromkeys(one["config"] for each in deliveries for one in each["attempts_made"])
    others = [each for each in used if each not in ("", revision)]
    return {"revisions": others, "has_changed": bool(others)}


def _sections(entries: Sequence[View]) -> Iterator[tuple[str, Sequence[View], Sequence[View]]]:
    """Each section of routes.yaml with its entries for such events, and its entries for others."""
    for section, found in groupby(entries, key=lambda each: each["section"]):
        each = list(found)
        yield (
            section,
            [one for one in each if not _is_about_others(one)],
            [one for one in each if _is_about_others(one)],
        )


def _is_about_others(entry: View) -> bool:
    failed = [each for each in entry["clauses"] if not each["held"]]
    return (
        not entry["taken"]
        and bool(failed)
        and all(each.get("field") in ("event.type", "event.source") for each in failed)
    )


def _payload(event: View) -> Mapping[str, Any]:
    if event["body_is"] == "removed":
        return {"is_there": False}
    return {"is_there": True, **dict(zip(("html", "is_cut"), text.pretty_and_cut(event["payload"]), strict=True))}


def _curl(request: View | None, content: Any) -> str:
    """The request as a curl command; empty if it is not HTTP, not text or too long."""
    if (
        request is None
        or "file" in request
        or request["method"] == "MAIL"
        or (isinstance(content, dict) and set(content) == {"base64"})
    ):
        return ""
    body = (
        content.encode("utf-8", "replace")
        if isinstance(content, str)
        else b""
        if content is None
        else msgspec.json.encode(content)
    )
    if len(body) > LONGEST_CURL:
        return ""
    headers = tuple(request["headers"].items())
    sent = HttpRequest(method=request["method"], url=request["url"], headers=headers, body=body)
    command = curl.command(sent, options=request.get("curl_options", ()))
    return command if len(command) <= LONGEST_CURL else ""


# --- what people did ---

_DEED_ICONS: Final[Mapping[str, str]] = {
    "replay": "retrying", "reroute": "retrying", "discard": "discarded", "forget": "discarded", "stop": "paused",
    "pause": "paused", "resume": "delivered", "try": "delivered", "mute": "muted", "unmute": "muted",
    "reload": "duplicate", "reload refused": "dead", "handshake": "held", "send": "arrow", "login": "delivered",
}  # fmt: skip
#: Verbs whose subject is a destination.
_OF_DESTINATION: Final = frozenset({"pause", "resume", "try", "mute", "unmute", "send", "login"})


def deed_icon(activity: View) -> str:
    return _DEED_ICONS.get(deed(activity), "idle")


def deed_link(activity: View) -> str:
    """The page of what it was done to; empty if there is none."""
    verb, subject = activity["verb"], activity["subject"]
    if subject.startswith(("evt_", "dlv_")):
        return f"/events/{quote(subject)}"
    if verb in _OF_DESTINATION:
        return f"/destinations#d-{quote(subject)}"
    return f"/sources/{quote(subject, safe='')}" if verb == "handshake" else ""


def marks(activities: Sequence[View], now: str, destination: str = "") -> Sequence[Mapping[str, Any]]:
    """What to mark on a chart of the last hour: reloads, refused ones too, and what was done to a destination."""
    found = []
    for each in activities:
        minute = 59 - int((words.moment(now) - words.moment(each["at"])).total_seconds() // 60)
        is_about = each["verb"] == "reload" or (each["verb"] in _OF_DESTINATION and each["subject"] == destination)
        if is_about and 0 <= minute < 60:
            refused = " (refused)" if is_refused(each) else ""
            found.append({"minute": minute, "words": f"{each['verb']} by {each['by']}{refused}"})
    return found


def marked(destinations: Sequence[View], activities: Sequence[View], now: str) -> Sequence[View]:
    """Destinations with the marks of their charts."""
    return [{**each, "marks": marks(activities, now, each["name"])} for each in destinations]


# --- the map ---


def by_section(routes: Sequence[View]) -> Sequence[tuple[str, Sequence[View]]]:
    """Entries by section, in the order of the file."""
    found: dict[str, list[View]] = {}
    for each in routes:
        found.setdefault(each["section"], []).append(each)
    return list(found.items())


# --- destinations and dead letters ---


def most_overdue(stats: View) -> str:
    """The destination with the delivery that has been due longest; empty if none is due."""
    found = max(stats["destinations"].items(), key=lambda each: each[1]["oldest_due_s"], default=None)
    return found[0] if found and found[1]["oldest_due_s"] else ""


def troubled_first(destinations: Sequence[View]) -> Sequence[View]:
    """Destinations with problems first, otherwise in the order of routes.yaml."""
    return sorted(destinations, key=lambda each: _BY_TROUBLE.index(words.condition(each)[0]))


def is_troubled(destination: View) -> bool:
    return words.condition(destination)[0] in ("dead", "paused", "retrying")


def by_destination(groups: Sequence[View]) -> Sequence[tuple[str, Sequence[View]]]:
    """The groups of each destination, both ordered by size."""
    found: dict[str, list[View]] = {}
    for each in groups:
        found.setdefault(each["destination"], []).append(each)
    return list(found.items())


def is_running(activity: View) -> bool:
    """Whether its progress still changes by itself."""
    progress = activity["progress"]
    return bool(progress) and not progress["over"]
