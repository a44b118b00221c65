"""What answers of the admin listener have in common: their headers, and how a request is refused."""

from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException

from gateway.operate.selection import LARGEST_PAGE

SECURITY_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    # With no-referrer a browser sends "Origin: null" with our own forms, and the guard would refuse them as foreign.
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


def error_answer(_: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, str]]:
    """An error as JSON."""
    found = [each for each in error.extra or () if isinstance(each, dict)]
    if any(each.get("key") == "limit" and each.get("source") == "query" for each in found):
        return Response({"error": f"limit: write a number from 1 to {LARGEST_PAGE}"}, status_code=400)
    details = [str(each.get("message", "")) for each in found]
    return Response({"error": ": ".join([error.detail, *details])}, status_code=error.status_code)
