"""Pages for operators: rendered on the server, complete without scripts, nothing loaded from another host.

Each page is a function from the dicts of ``views`` to bytes. All pages need the ``shell``, a mapping: ``page`` (its
name), ``now`` (ISO time), ``file`` and ``revision`` (in force), ``rejection`` (None, or ``since`` and ``problems``), ``full`` (why new events are refused or soon will be; may be empty),
``dead`` (number of dead letters), ``has_inbox``, ``has_shadow``, ``can_write``, ``signed_in``, ``notice`` (what was just done).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

from gateway.console import story
from gateway.console.chats import preview
from gateway.console.pages import macro, page

Shell = Mapping[str, Any]
View = Mapping[str, Any]

_FOLDER: Final = resources.files(__name__)
#: Destinations that have a card on the live page.
MOST_CARDS: Final = 8


def live_page(
    shell: Shell,
    *,
    stats: View,
    destinations: Sequence[View],
    rows: Sequence[View],
    filter: Mapping[str, str],
    choices: Mapping[str, Sequence[str]],
    paging: View,
    senders: Sequence[Mapping[str, str]] = (),
    filter_error: str = "",
    activities: Sequence[View] = (),
) -> bytes:
    """Numbers, destinations and the stream of events.

    ``rows`` are event rows and refused requests in display order; ``filter`` has ``q``, ``source``, ``type``,
    ``destination``, ``state`` and ``since``; ``paging`` has ``next`` and ``first`` (addresses), ``searched_to``,
    ``is_live`` with ``live`` (the stream's address), and ``is_later`` for any page but the first; ``activities`` are
    marked on the charts.
    """
    return page(
        "live.html",
        shell=shell,
        stats={**stats, "marks": story.marks(activities, shell["now"])},
        destinations=story.marked(story.troubled_first(destinations), activities, shell["now"]),
        most_cards=MOST_CARDS,
        rows=rows,
        filter=filter,
        choices=choices,
        paging=paging,
        senders=senders,
        filter_error=filter_error,
    )


def live_rows(rows: Sequence[View], *, now: str, can_write: bool) -> str:
    """Rows of events for the live page's stream."""
    draw = macro("event_row")
    return "\n".join(str(draw(row, now, can_write)) for row in rows)


def refused_rows(rows: Sequence[View], *, now: str) -> str:
    """Rows of refused requests for the live page's stream."""
    draw = macro("refused_row")
    return "\n".join(str(draw(row, now)) for row in rows)


def live_numbers(stats: View, destinations: Sequence[View], *, activities: Sequence[View], now: str) -> str:
    """Numbers and cards for the live page's stream."""
    shown = story.marked(story.troubled_first(destinations), activities, now)
    numbers = macro("numbers")({**stats, "marks": story.marks(activities, now)})
    return f"{numbers}{macro('cards')(shown, MOST_CARDS, now)}"


def event_page(shell: Shell, event: View, *, kinds: Mapping[str, str]) -> bytes:
    """One event: deliveries with their attempts, every route and why, payload and headers.

    ``event`` is what ``/api/events/{id}`` returns; ``kinds`` has the type of each destination.
    """
    return page("event.html", shell=shell, **story.of(event, revision=shell["revision"], kinds=kinds))


def destinations_page(shell: Shell, destinations: Sequence[View], activities: Sequence[View] = ()) -> bytes:
    """The condition of each destination, with actions."""
    found = story.marked(story.troubled_first(destinations), activities, shell["now"])
    troubled = sum(story.is_troubled(each) for each in found)
    return page("destinations.html", shell=shell, destinations=found, troubled=troubled)


def dead_page(shell: Shell, groups: Sequence[View], activities: Sequence[View], opened: View | None = None) -> bytes:
    """Dead letters in groups; or one group, ``opened``, with its deliveries. ``activities`` are replays and discards.

    ``opened`` has ``title``, ``destination``, ``count``, ``selection`` (form fields that select the group), ``rows``
    (deliveries with ``type`` and ``at``, empty if unknown), ``next`` and ``searched_to``.
    """
    return page(
        "dead.html",
        shell=shell,
        groups=groups,
        by_destination=story.by_destination(groups),
        largest=max((each["count"] for each in groups), default=1),
        total=sum(each["count"] for each in groups),
        activities=activities,
        running=any(map(story.is_running, activities)),
        opened=opened,
    )


def playground_page(
    shell: Shell,
    *,
    draft: View,
    found: View,
    kinds: Mapping[str, str],
    choices: View,
    loaded: Mapping[str, str],
    asked: Mapping[str, str] | None = None,
    answered: Any = None,
) -> bytes:
    """An event and an entry that somebody tries out, and what the one makes of the other.

    ``draft`` has the fields of ``operate.playground.Draft``, ``found`` is what its ``played`` gives; ``choices`` has
    ``samples`` by source, ``routes``, ``templates``, ``destinations`` and ``kinds``; ``loaded`` has ``sample``, ``event``
    and ``route``. ``asked`` is the delivery to be confirmed, ``answered`` the answer to one that was sent.
    """
    return page(
        "playground.html",
        shell=shell,
        draft=draft,
        found=found,
        choices=choices,
        loaded=loaded,
        asked=asked,
        answered=answered,
        summary=found.get("summary", ""),
        **story.played(found, kinds),
    )


def refused_page(
    shell: Shell, *, rows: Sequence[View], filter: Mapping[str, str], sources: Sequence[str], more: int
) -> bytes:
    """Refused requests, each with what to do; ``filter`` has ``source``, ``client`` and ``reason``."""
    return page("refused.html", shell=shell, rows=rows, filter=filter, sources=sources, more=more)


def shadow_page(shell: Shell, found: View) -> bytes:
    """What a shadow would have sent instead; ``found`` is what ``/api/shadow`` returns."""
    return page("shadow.html", shell=shell, found=found)


def routes_page(shell: Shell, map: View) -> bytes:
    """The map: sources, entries and destinations, as ``operate.map`` draws it."""
    return page("routes.html", shell=shell, map=map, by_section=story.by_section(map["routes"]))


def route_page(shell: Shell, *, route: View, written: str, destinations: Sequence[View], rows: Sequence[View]) -> bytes:
    """One entry: its text, its destinations, the newest events that it sent."""
    return page("route.html", shell=shell, route=route, written=written, destinations=destinations, rows=rows)


def source_page(
    shell: Shell, *, source: View, routes: Sequence[View], refused: Sequence[View], rows: Sequence[View]
) -> bytes:
    """One source: its address, its newest events and refused requests, the entries for its events."""
    return page("source.html", shell=shell, source=source, routes=routes, refused=refused, rows=rows)


def activities_page(shell: Shell, rows: Sequence[View], *, following: str, is_later: bool) -> bytes:
    """What people did, newest first; ``following`` is the address of the next page."""
    return page("activities.html", shell=shell, rows=rows, following=following, is_later=is_later)


def activity_page(shell: Shell, activity: View) -> bytes:
    """A replay, a discard or another activity, with its progress."""
    return page("activity.html", shell=shell, activity=activity, running=story.is_running(activity))


def confirm_page(
    shell: Shell,
    *,
    verb: str,
    plan: View,
    fields: Sequence[tuple[str, str]],
    key: str,
    subject: str,
    back: str,
) -> bytes:
    """What a replay or discard would do, to be confirmed.

    ``plan`` has ``count``, ``warnings`` and ``sample`` (deliveries with ``type`` and ``at``); ``fields`` select the
    deliveries; a second click with the same ``key`` does nothing.
    """
    return page("confirm.html", shell=shell, verb=verb, plan=plan, fields=fields, key=key, subject=subject, back=back)


def login_page(shell: Shell, *, to: str, error: str = "") -> bytes:
    """The login form; ``to`` is the page requested."""
    return page("login.html", shell=shell, to=to, error=error)


def message_page(shell: Shell, *, title: str, said: str) -> bytes:
    """A page with a message, such as an error."""
    return page("message.html", shell=shell, title=title, said=said)


def inbox_page(shell: Shell, entries: Sequence[View], *, kinds: Mapping[str, str]) -> bytes:
    """Requests recorded instead of sent, newest first; ``entries`` come from ``views.inbox_entry``."""
    shown = [
        {
            **each,
            "preview": preview(kinds.get(each["destination"], ""), each["body"]),
            "content": story.content_of(each["body"]),
        }
        for each in entries
    ]
    return page("inbox.html", shell=shell, entries=shown)


@cache
def stylesheet() -> bytes:
    """The one stylesheet of all pages."""
    return (_FOLDER / "console.css").read_bytes()


@cache
def script() -> bytes:
    """The one script of all pages: live rows, keyboard shortcuts, copying. No page needs it."""
    return (_FOLDER / "console.js").read_bytes()
