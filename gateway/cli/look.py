"""``events``, ``show``, ``dead``, ``replay``: on the running gateway by its API, else on the store itself."""

import asyncio
import http.client
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway import views
from gateway.cli import check
from gateway.errors import GatewayError, StoreLocked, printable
from gateway.model import DeliveryState
from gateway.store import Store, open_reader, open_store

API_TIMEOUT_S = 30.0


class ApiRefused(GatewayError):
    """The running gateway answered no."""


class Unreachable(GatewayError):
    """Nobody answers at the address that was named."""

    exit_code = 3


def events(*, url: str, store: str, as_json: bool, limit: int) -> int:
    """The newest events, a line each."""
    rows = ask(url, f"/api/events?limit={limit}")
    if rows is None:
        rows = _read(store, lambda reader: [views.event_row(row) for row in reader.events(limit=limit)])
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("No events yet. `gateway send contact.created` posts one.")
    for row in [] if as_json else rows:
        fates = "  ".join(f"{each['destination']} {_colored(each['state'])}" for each in row["deliveries"])
        click.echo(
            f"{local(row['received_at'])}  {row['id']}  {row['source']}  {row['type']:<18}  {fates or 'matched nothing'}"
        )
    return 0


def show(*, url: str, store: str, as_json: bool, event_id: str) -> int:
    """One event: its payload, its deliveries, every attempt."""
    history = stored(url=url, store=store, event_id=event_id)
    if as_json:
        print_json(history)
        return 0
    click.echo(f"{history['id']}  {history['source']}  {history['type']}  {local(history['received_at'])}")
    if not history["intact"]:
        click.secho("The stored body does not match its checksum: it is never sent.", fg="red")
    for each in history["deliveries"]:
        click.echo(f"\n{each['id']}  {each['route']} > {each['destination']}  {_colored(each['state'])}{_next(each)}")
        for one in each["attempts_made"]:
            answer = printable(f"{one['status'] or ''} {one['reason']}".strip())
            click.echo(
                f"  {one['number']:>3}  {local(one['started_at'])}  {one['duration_ms']:>8.1f} ms  {one['outcome']}  {answer}"
            )
        if each["reason"] and not each["attempts_made"]:
            click.echo(f"       {printable(each['reason'])}")
    for each in history["held_back"]:
        click.echo(f"\n{each['route']}  {fired_before(each)}")
    click.echo("\n" + msgspec.json.format(msgspec.json.encode(history["payload"]), indent=2).decode())
    return 0


def fired_before(held_back: Mapping[str, Any]) -> str:
    """Why a route with ``once`` did not send an event."""
    when = local(held_back["fired_at"])
    return printable(f"fired already for the key {held_back['key']}: {held_back['event_id']}, {when}")


def stored(*, url: str, store: str, event_id: str) -> Any:
    """An event with its payload, by its id or a delivery's, as the API shows it."""
    history = ask(url, f"/api/events/{urllib.parse.quote(event_id, safe='')}")
    if history is None:
        history = _read(store, lambda reader: _history(reader, event_id))
    return history


def dead(*, url: str, store: str, as_json: bool, destination: str, limit: int) -> int:
    """Dead letters, a line each, with the reason."""
    query = urllib.parse.urlencode({"state": "dead", "destination": destination, "limit": limit})
    found = ask(url, f"/api/deliveries?{query}")
    if found is None:
        found = _read(
            store,
            lambda reader: [
                views.delivery(each)
                for each in reader.deliveries(state=DeliveryState.DEAD, destination=destination, limit=limit)
            ],
        )
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No dead letters.")
    for each in [] if as_json else found:
        click.echo(
            f"{each['id']}  {each['route']} > {each['destination']}  {each['attempts']} attempts  {each['reason']}"
        )
    return 0


def replay(*, url: str, store: str, as_json: bool, ids: Sequence[str]) -> int:
    """Make them pending again; a running gateway sends them at once, else the next start does."""
    answer = ask(url, "/api/replay", {"ids": list(ids)})
    running = answer is not None
    moved = answer["replayed"] if answer is not None else asyncio.run(_replay_in_store(store, ids))
    if as_json:
        print_json(moved)
        return 0
    for each in moved:
        click.echo(f"{each['id']}  {each['route']} > {each['destination']}  pending")
    if not moved:
        click.echo("Nothing to replay: every delivery of it is pending already.")
    elif not running:
        click.echo("No gateway is running: they go out at its next start.")
    return 0


# --- the running gateway ---


def ask(url: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """The decoded answer of the running gateway; None when no address was named and nobody listens at the usual one."""
    address = url or check.usual_address("GATEWAY_ADMIN_BIND", "127.0.0.1:8081")
    try:
        request = _request(address, path, body)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=API_TIMEOUT_S
        ) as response:
            return msgspec.json.decode(response.read())
    except urllib.error.HTTPError as error:
        raise ApiRefused(_refusal(address, error)) from None
    except (msgspec.DecodeError, ValueError):
        raise ApiRefused(f"{address} is no gateway's admin address: write --url http://127.0.0.1:8081") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if not url and isinstance(reason, ConnectionRefusedError):
            return None
        raise Unreachable(f"no gateway answers at {address} ({reason}): is it running, and is --url right?") from None


def _request(address: str, path: str, body: Mapping[str, Any] | None) -> urllib.request.Request:
    if not address.startswith(("http://", "https://")):
        raise ValueError(address)
    request = urllib.request.Request(address.rstrip("/") + path)  # noqa: S310  the operator's own address
    if token := check.environment(Path(".env")).get("GATEWAY_ADMIN_TOKEN"):
        request.add_header("authorization", f"Bearer {token}")
    if body is not None:
        request.data = msgspec.json.encode(body)
        request.add_header("content-type", "application/json")
    return request


def _refusal(url: str, error: urllib.error.HTTPError) -> str:
    try:
        said = msgspec.json.decode(error.read())["error"]
    except (msgspec.DecodeError, KeyError, TypeError):
        said = "is it a gateway's admin address?"
    hint = " (GATEWAY_ADMIN_TOKEN)" if error.code == 401 else ""
    return f"{url} answered {error.code}: {said}{hint}"


# --- the store itself ---


def _read(store: str, read: Callable[[Any], Any]) -> Any:
    return read(open_reader(store))


def _history(reader: Any, event_id: str) -> Any:
    history = reader.event(event_id)
    if history is None:
        raise ApiRefused(f"no event or delivery {event_id}")
    return views.event_history(history)


async def _replay_in_store(url: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    try:
        store: Store = await open_store(url)
    except StoreLocked as error:
        raise StoreLocked(f"{error}; of a running gateway, name its admin address with --url") from None
    try:
        return [views.delivery(each) for each in await store.replay(ids, by="cli")]
    except KeyError as error:
        raise ApiRefused(f"no event or delivery {error.args[0]}") from None
    finally:
        await store.close()


# --- for people ---

_COLORS = {"delivered": "green", "dead": "red", "pending": "yellow", "discarded": "bright_black"}


def _colored(state: str) -> str:
    plain = bool(os.environ.get("NO_COLOR")) or not sys.stdout.isatty()
    return state if plain else click.style(state, fg=_COLORS[state])


def local(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _next(delivery: Mapping[str, Any]) -> str:
    due = delivery["due_in_s"]
    if delivery.get("behind"):
        return "  behind an earlier one with the same key"
    if due is None:
        return ""
    return f"  next try in {due:.0f} s" if due > 0 else "  due now"


def print_json(value: Any) -> None:
    """Data for another program, on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
