"""What the handlers of the admin listener work with."""

from msgspec import Struct

from gateway.dispatcher import Dispatcher
from gateway.egress import Inbox
from gateway.operate.operations import Operations
from gateway.operate.reload import Reloader
from gateway.operate.replicas import Replicas
from gateway.operate.shadows import Shadows
from gateway.operate.vigil import Vigil
from gateway.process import Gateway
from gateway.web.auth import Access
from gateway.web.health import Readiness, Scrape
from gateway.web.live import Live
from gateway.web.rejections import Rejections


class Context(Struct, frozen=True, kw_only=True):
    """The running gateway, as operators see it."""

    gateway: Gateway
    dispatcher: Dispatcher
    operations: Operations
    readiness: Readiness
    reloader: Reloader
    replicas: Replicas
    #: Who may do what, and who is logged in.
    access: Access
    live: Live
    rejections: Rejections
    shadows: Shadows
    vigil: Vigil
    scrape: Scrape
    #: Requests that ``gateway dev`` records instead of sending.
    inbox: Inbox | None = None
