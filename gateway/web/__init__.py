"""The two ASGI applications, for senders (ingest) and for operators (admin, with Litestar). Decisions are made elsewhere."""

from gateway.web.auth import PROBES, AdminOptions
from gateway.web.context import Context
from gateway.web.desk import Desk
from gateway.web.door import UNKNOWN, Door
from gateway.web.health import Readiness
from gateway.web.live import Live
from gateway.web.rejections import Rejections

__all__ = ["PROBES", "UNKNOWN", "AdminOptions", "Context", "Desk", "Door", "Live", "Readiness", "Rejections"]
