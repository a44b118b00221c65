"""What a listener holds and refuses: as metrics, and as log lines that say what to do about it."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from gateway import telemetry
from gateway.server.limits import Limits
from gateway.wording import size

#: Seconds between two log lines of one listener.
INTERVAL_S: Final = 10.0
#: Clients counted apart until the next line.
_MOST_CLIENTS: Final = 1000
_PROXY: Final = "if it is a proxy in front of your senders, name it under trusted_proxies in routes.yaml"

#: What happened and what to do, by the reason of a refusal. Any other reason is the client's own fault.
ADVICE: Final[Mapping[str, str]] = {
    "overloaded": "all {connections} connections wait for their answers: look for a slow disk or a busy CPU",
    "evicted": "all {connections} connections are taken, so the idlest are closed: block this client, or " + _PROXY,
    "connection_share": "this client has its share of the {connections} connections: " + _PROXY,
    "body_budget": "{bytes} of request bodies are held in memory: allow the process more memory if this happens often",
    "body_share": "this client has its share of the {bytes} for request bodies: " + _PROXY,
    "body_slow": "{bytes} of request bodies are held in memory, so slow ones are refused: block this client, or "
    + _PROXY,
}


class Pressure:
    """Takes note for one listener. ``clock`` gives seconds; ``refused`` gets each reason and client."""

    def __init__(
        self, listener: str, limits: Limits, clock: Callable[[], float], refused: Callable[[str, str], None]
    ) -> None:
        self._listener = listener
        self._words = {"connections": f"{limits.connections:,}", "bytes": size(limits.body_bytes)}
        self._clock = clock
        self._report = refused
        self._reasons: Counter[str] = Counter()
        self._clients: Counter[str] = Counter()
        self._said_at: float | None = None
        telemetry.LISTENER_CONNECTIONS_LIMIT.labels(listener).set(limits.connections)
        telemetry.LISTENER_BODY_BYTES_LIMIT.labels(listener).set(limits.body_bytes)

    def refused(self, reason: str, client: str) -> None:
        """A request was refused, or a connection closed, before any application answered."""
        telemetry.LISTENER_REFUSED.labels(self._listener, reason).inc()
        self._report(reason, client)
        if reason in ADVICE:
            self._reasons[reason] += 1
            if client in self._clients or len(self._clients) < _MOST_CLIENTS:
                self._clients[client] += 1

    def level(self, connections: int, body_bytes: int) -> None:
        """What is held now. Say so in the log if something had to be refused for that."""
        telemetry.LISTENER_CONNECTIONS.labels(self._listener).set(connections)
        telemetry.LISTENER_BODY_BYTES.labels(self._listener).set(body_bytes)
        now = self._clock()
        if self._reasons and (self._said_at is None or now - self._said_at >= INTERVAL_S):
            self._say()
            self._said_at = now

    def _say(self) -> None:
        [(reason, _)], [(client, _)] = self._reasons.most_common(1), self._clients.most_common(1)
        telemetry.log(
            "listener.full",
            listener=self._listener,
            refused=self._reasons.total(),
            client=client,
            reason=ADVICE[reason].format(**self._words),
        )
        self._reasons.clear()
        self._clients.clear()
