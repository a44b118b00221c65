"""What the store keeps of a gate, and the gate that this gives back. Pure: ``now`` is on the monotonic clock."""

import math
from typing import Any

from msgspec.structs import replace

from gateway.destinations.gates import Gate
from gateway.store.holds import Circuit, Hold, Pause


def kept(gate: Gate, now: float) -> dict[str, Any]:
    """The fields of a Hold."""
    circuit = None
    if gate.next_probe is not None:
        circuit = Circuit(
            failures=gate.failures,
            denied=gate.denied,
            next_probe_s=gate.next_probe - now,
            interval_s=gate.probe_interval_s,
        )
    return {"circuit": circuit, "wait_s": max(0.0, gate.waits_until - now)}


def gate_of(hold: Hold, now: float) -> Gate:
    """The durable part of a gate."""
    gate = Gate(waits_until=now + hold.wait_s if hold.wait_s > 0 else -math.inf)
    if (circuit := hold.circuit) is None:
        return gate
    return replace(
        gate,
        failures=circuit.failures,
        denied=circuit.denied,
        next_probe=now + circuit.next_probe_s,
        probe_interval_s=circuit.interval_s,
    )


def put(pauses: dict[str, Pause], name: str, pause: Pause | None) -> None:
    """Replace the pause of a destination; None: it has none."""
    pauses.pop(name, None)
    if pause is not None:
        pauses[name] = pause
