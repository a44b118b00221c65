"""``gateway show``: one event with its deliveries, every attempt and its payload."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.cli import entries, terminal
from gateway.cli.place import Place
from gateway.cli.terminal import local
from gateway.wording import count, duration, printable, size


def show(place: Place, event_id: str, *, why: bool, request: bool, as_json: bool) -> int:
    """Print the event; with ``why`` also each route, with ``request`` each request as it would be sent now."""
    history = place.ask(lambda asked: asked.event(event_id))
    if as_json:
        terminal.print_json(history)
        return 0
    _show_head(history)
    now = {each["delivery_id"]: each.get("request") for each in history["requests"]}
    for each in history["deliveries"]:
        _show_delivery(each)
        if each["state"] == "dead" and each["status"] and not request:
            _show_address(each["id"], now.get(each["id"]))
    for each in history["held_back"]:
        terminal.gap()
        terminal.say(f"{each['route']}  {entries.fired_before(each)}")
    if why or request:
        _show_explained(history, why=why, request=request)
    terminal.gap()
    terminal.say(("payload", "bold"))
    print(terminal.printed_json(history["payload"]))
    return 0


def _show_head(history: Mapping[str, Any]) -> None:
    size = terminal.size(history["size"])
    terminal.say((history["type"], "bold"), f" from {history['source']}, {local(history['received_at'])}, {size}")
    terminal.say(history["id"])
    if history.get("label"):
        terminal.say((f"the sender calls it {history['label']}, which its signature does not cover", "dim"))
    if invalid := history.get("invalid"):
        terminal.say((f"invalid: {invalid['path']} {invalid['reason']}", "yellow"))
    if not history["intact"]:
        terminal.say(("The stored body no longer matches its checksum and will not be sent.", "red"))
    if history.get("body_is") == "forgotten":
        terminal.say(("This event was forgotten: its data is erased, and it cannot be sent again.", "yellow"))
    for line in entries.changed(history.get("tracked")):
        terminal.say(line)
    for name, value in history["headers"].items():
        terminal.say((f"  {name}: {value}", "dim"))
    for name, value in history.get("query", {}).items():
        terminal.say((f"  ?{name}={value}", "dim"))


def _show_delivery(each: Mapping[str, Any]) -> None:
    terminal.gap()
    terminal.say(
        (f"{each['route']} > {each['destination']}", "bold"), "  ", terminal.state(each["state"]), _next(each),
        (f"  {each['id']}", "dim"),
    )  # fmt: skip
    for one in each["attempts_made"]:
        _show_attempt(one)
    if each["reason"] and not (each["attempts_made"] and each["attempts_made"][-1]["reason"] == each["reason"]):
        terminal.say(f"       {each['reason']}")
    if line := _last_error(each):
        terminal.say(f"       {line}")


def _last_error(delivery: Mapping[str, Any]) -> str:
    """Why others to the same destination failed, of one that waits and was never tried itself."""
    # A gateway of the previous release does not say it.
    error = delivery.get("last_error")
    if not error or delivery["attempts_made"] or error["reason"] in (delivery["held"], delivery["reason"]):
        return ""
    return f"last error of {delivery['destination']}, {local(error['at'])}: {error['reason']}"


def _show_address(delivery_id: str, request: Mapping[str, Any] | None) -> None:
    """Where a dead delivery would be sent now: its reason may ask to correct just that."""
    if request is not None and "url" in request:
        terminal.say((f"       a replay sends {request['method']} {request['url']}; all of it: --request", "dim"))
    else:
        terminal.say((f"       where it is sent: gateway explain {delivery_id}", "dim"))


def _show_attempt(one: Mapping[str, Any]) -> None:
    said = one["reason"] or str(one["status"] or "")
    again = "" if one["next_s"] is None else f", again in {duration(one['next_s'])}"
    outcome = (one["outcome"], _OUTCOMES.get(one["outcome"], ""))
    terminal.say(
        f"  {one['number']:>3}  {local(one['started_at'])}  {one['duration_ms']:>8.1f} ms  ", outcome,
        f"  {said}{again}".rstrip(),
    )  # fmt: skip
    for each in one["lookups"]:
        terminal.row((f"       {_lookup(each)}", "dim"))
    if one["choice"]:
        terminal.row((f"       sent element {one['choice']} of choose", "dim"))
    if one["answer"] and one["outcome"] != "delivered" and printable(one["answer"][:20]) not in one["reason"]:
        terminal.row((f"       {one['answer']}", "dim"))
    for line in one.get("memory", ()):
        terminal.row((f"       {line}", "dim"))


def _lookup(each: Mapping[str, Any]) -> str:
    """``fetch person: GET crm, 200 in 34.2 ms, 1.2 KiB``."""
    is_answered = each["status"] and not each["failed"]
    found = f", {size(each['size'])}" if each["found"] else ", nothing found" if is_answered else ""
    answer = f"{each['status'] or 'no answer'} in {each['duration_ms']} ms" if not each["cached"] else "as found before"
    return f"fetch {each['name']}: {each['method']} {each['destination']}, {answer}{found}"


_OUTCOMES: Final = {"delivered": "green", "dead": "red", "retry": "yellow", "discarded": "dim"}


def _next(delivery: Mapping[str, Any]) -> str:
    due = delivery["due_in_s"]
    if delivery.get("digest") not in (None, delivery["id"]):
        due_at = f", due {local(delivery['waits_until'])}" if delivery.get("waits_until") else ""
        return f", in digest {delivery['digest']}{due_at}"
    if due is not None and due >= 1 and delivery.get("waits_until") and delivery.get("gathered"):
        return f", gathers until {local(delivery['waits_until'])}, {count(delivery['gathered'], 'event')} so far"
    if delivery.get("behind"):
        return ", waiting for an earlier one with the same key"
    if due is None:
        return ""
    if due < 1 and delivery.get("held"):
        return f", held: {delivery['held']}"
    if delivery.get("waits_for"):
        return f", waits for {', '.join(delivery['waits_for'])}, at most {duration(max(1, round(due)))}"
    if due >= 1 and delivery.get("waits_until"):
        return f", waits until {local(delivery['waits_until'])}"
    return f", next attempt in {duration(round(due))}" if due >= 1 else ", due now"


def _show_explained(history: Mapping[str, Any], *, why: bool, request: bool) -> None:
    if history["why_not_explained"]:
        terminal.gap()
        terminal.say(history["why_not_explained"])
        return
    if why:
        terminal.echo(entries.lines(history["entries"]))
    for each in history["requests"] if request else ():
        terminal.gap()
        terminal.say((f"{each['route']} > {each['destination']}, as it would be sent now", "bold"), _change(each))
        _show_request(each)


def _change(each: Mapping[str, Any]) -> str:
    return ", not the body of the last attempt: the file has changed since" if each["changed"] else ""


def _show_request(each: Mapping[str, Any]) -> None:
    request = each["request"]
    for one in each.get("lookups", ()):
        if one["request"] is not None:
            asked = f"{one['request']['method']} {one['request']['url']}"
            terminal.say(f"  fetch {one['name']} from {one['destination']}: {asked}")
    if "assumed" in each:
        terminal.say(f"  {'then, ' if 'lookups' in each else ''}{each['assumed']}:")
    if request is None:
        said = f"  not shown: {each['not_shown']}" if "not_shown" in each else f"  dead: {each['error']}"
        terminal.say((f"  discarded: {each['discarded']}", "dim") if "discarded" in each else (said, "red"))
        return
    if "file" in request:
        terminal.say(f"  a line in {request['file']}")
    else:
        terminal.say(f"  {request['method']} {request['url']}")
        for name, value in request["headers"].items():
            terminal.say(f"  {name}: {value}")
    for line in each.get("memory", ()):
        terminal.say((f"  {line}", "dim"))
    body = request.get("body", request.get("line"))
    for text in (body if isinstance(body, str) else terminal.printed_json(body)).split("\n") if body != "" else ():
        terminal.say(f"  {text}")
