"""The two Litestar applications, for senders (ingest) and for operators (admin). Decisions are made elsewhere."""

from gateway.web.auth import PROBES, AdminOptions
from gateway.web.context import Context
from gateway.web.desk import Desk
from gateway.web.door import UNKNOWN, ingest_app
from gateway.web.health import Readiness
from gateway.web.live import Live
from gateway.web.rejections import Rejections

__all__ = ["PROBES", "UNKNOWN", "AdminOptions", "Context", "Desk", "Live", "Readiness", "Rejections", "ingest_app"]
