"""What the gateway says of itself when a destination comes to be held, or is held no more. Pure."""

from gateway.destinations import gates
from gateway.destinations.gates import Gate
from gateway.model import Announcement
from gateway.store.holds import Pause, paused_by
from gateway.wording import iso_time


def opened(name: str, gate: Gate, reason: str) -> Announcement:
    """Its circuit is open."""
    fields = {
        "destination": name,
        "failures": gate.failures,
        "denied": gate.denied if gate.is_denied else (),
        "reason": reason,
        "next_s": gate.probe_interval_s,
    }
    return Announcement("circuit.opened", gates.opened_message(name, gate, reason), fields)


def closed(name: str, gate: Gate) -> Announcement:
    """Its circuit is closed; ``gate``: as it was before."""
    fields = {"destination": name, "failures": gate.failures}
    return Announcement("circuit.closed", gates.closed_message(name, gate), fields)


def paused(name: str, pause: Pause) -> Announcement:
    """Somebody has paused it, or the gateway itself."""
    message = f"{name} is {paused_by(pause)}. Nothing is lost; deliveries continue once it is resumed."
    until = None if pause.until is None else iso_time(pause.until)
    fields = {"destination": name, "by": pause.by, "reason": pause.reason, "until": until}
    return Announcement("destination.paused", message, fields)


def resumed(name: str, by: str) -> Announcement:
    """Its pause has ended."""
    message = f"{name} is resumed by {by}. Its deliveries go out now."
    return Announcement("destination.resumed", message, {"destination": name, "by": by})
