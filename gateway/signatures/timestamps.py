"""A sender's timestamps, read strictly: a fraction or a date where seconds are expected is not a timestamp."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

from gateway.wording import escaped

_SECONDS: Final = re.compile(rb"[0-9]{1,11}")
_MILLISECONDS: Final = re.compile(rb"[0-9]{1,14}")
_ISO: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)")
_HTTP: Final = re.compile(rb"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


def _iso(text: bytes) -> float | None:
    if not _ISO.fullmatch(text):
        return None
    # Python 3.11 reads fractions of three or six digits only.
    plain = re.sub(r"\.(\d+)", lambda found: f".{found[1][:6]:0<6}", text.decode("ascii"))
    try:
        return datetime.fromisoformat(plain).timestamp()
    except (ValueError, OverflowError):
        return None


def _http(text: bytes) -> float | None:
    if not _HTTP.fullmatch(text):
        return None
    plain = text.decode("ascii")
    try:
        found = parsedate_to_datetime(plain).timestamp()
    except (ValueError, OverflowError):
        return None
    # Another weekday, or a year of long ago.
    return found if formatdate(found, usegmt=True) == plain else None


#: By unit: seconds since the epoch, or None for a text in another form.
UNITS: Final[Mapping[str, Callable[[bytes], float | None]]] = {
    "s": lambda text: float(text) if _SECONDS.fullmatch(text) else None,
    "ms": lambda text: int(text) / 1000 if _MILLISECONDS.fullmatch(text) else None,
    "iso": _iso,
    "http": _http,
}


#: Characters of a timestamp that are quoted: more than any of them has.
_QUOTED: Final = 40


def misread(text: bytes, unit: str) -> str:
    """Why a text is not a timestamp in ``unit``, and in which one it would be."""
    if not text:
        return "the timestamp is missing"
    shown = escaped(text[:_QUOTED].decode("latin-1"))
    fitting = next((each for each, read in UNITS.items() if read(text) is not None), "")
    return f'the timestamp "{shown}" is {f"in {fitting}, not in {unit}" if fitting else f"not in {unit}"}'


def written_time(now: float, unit: str) -> str:
    """``now``, seconds since the epoch, as a sender writes it."""
    if unit == "iso":
        return datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z")
    if unit == "http":
        return formatdate(int(now), usegmt=True)
    return str(int(now * 1000) if unit == "ms" else int(now))
