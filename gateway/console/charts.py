"""Small charts as inline SVG: positions are attributes, colours come from the stylesheet."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from gateway.wording import count

#: One minute (bar and gap), its bar, and the height of the tallest bar, in the chart's own units.
STEP, BAR, HEIGHT = 4, 3, 28


def hour(traffic: Mapping[str, Sequence[int]], marks: Sequence[Mapping[str, Any]] = ()) -> Markup:
    """The last hour, one bar per minute: dead at the bottom, then retried, delivered on top.

    ``marks`` are what people did, with their ``minute`` and ``words``.
    """
    kinds = ("died", "retried", "delivered")
    minutes = list(zip(*(traffic.get(kind) or [0] * 60 for kind in kinds), strict=False))
    tallest = max(map(sum, minutes), default=0)
    bars = Markup().join(_bars(at * STEP, values, kinds, tallest) for at, values in enumerate(minutes))
    said = _in_words({kind: sum(traffic.get(kind, ())) for kind in reversed(kinds)})
    return _picture(_marks(marks) + bars, len(minutes), said + _marked(marks))


def received(sources: Mapping[str, Sequence[int]], marks: Sequence[Mapping[str, Any]] = ()) -> Markup:
    """Events of the last hour, all sources together."""
    minutes = [sum(each) for each in zip(*sources.values(), strict=False)]
    tallest = max(minutes, default=0)
    bars = Markup().join(_bars(at * STEP, (each,), ("received",), tallest) for at, each in enumerate(minutes))
    said = f"{count(sum(minutes), 'event')} in the last hour"
    return _picture(_marks(marks) + bars, len(minutes), said + _marked(marks))


def _picture(bars: Markup, minutes: int, words: str) -> Markup:
    width = max(minutes, 1) * STEP
    return Markup(
        '<svg class="spark" viewBox="0 0 {0} {1}" preserveAspectRatio="none" role="img" aria-label="{2}">'
        '<title>{2}</title><rect class="base" x="0" y="{3}" width="{0}" height="1"/>{4}</svg>'
    ).format(width, HEIGHT, words, HEIGHT - 1, bars)


def _marks(marks: Sequence[Mapping[str, Any]]) -> Markup:
    line = Markup('<rect class="mark" x="{}" y="0" width="1.5" height="{}"/>')
    return Markup().join(line.format(minute * STEP + BAR / 2, HEIGHT) for minute in {each["minute"] for each in marks})


def _marked(marks: Sequence[Mapping[str, Any]]) -> str:
    """What was done, and how long ago, for those who cannot see the lines."""
    said = [f"{each['words']} {59 - each['minute']} min ago" for each in marks[:5]]
    return f"; {', '.join(said)}" if said else ""


def _bars(x: int, values: Sequence[int], kinds: Sequence[str], tallest: int) -> Markup:
    drawn, bottom = Markup(), HEIGHT - 1.0
    for value, kind in zip(values, kinds, strict=True):
        if value:
            # Even a single one stays visible next to a minute of thousands.
            height = max(value / tallest * (HEIGHT - 2), 1.5)
            bottom = max(bottom - height, 0.0)
            drawn += Markup('<rect class="{}" x="{}" y="{:.1f}" width="{}" height="{:.1f}"/>').format(
                kind, x, bottom, BAR, height
            )
    return drawn


def _in_words(sums: Mapping[str, int]) -> str:
    words = {"delivered": "delivered", "retried": "retried", "died": "given up"}
    said = ", ".join(f"{number:,} {words[kind]}" for kind, number in sums.items() if number)
    return f"last hour: {said or count(0, 'attempt')}"
