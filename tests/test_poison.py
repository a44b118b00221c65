"""A delivery that the process dies over."""

from gateway.model import DeliveryState
from tests.sink import Sink
from tests.world import World, alerts, story, with_alerts


@story
async def test_a_delivery_that_the_process_died_over_three_times_is_dead_and_told_of(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, with_alerts(sink)) as world:
            await world.dispatcher.holds.pause("crm", by="test", reason="first the crashes")
            event_id = (await world.receive()).event_id
            id_ = (await world.delivery(event_id)).id
        for _ in range(3):
            async with World(tmp_path, with_alerts(sink)) as world:
                with world.gateway.crash_slot.working_on(id_):
                    left = (tmp_path / "gateway.db.now").read_bytes()
            (tmp_path / "gateway.db.now").write_bytes(left)
        async with World(tmp_path, with_alerts(sink)) as world:
            await world.dispatcher.holds.resume("crm", by="test")
            await world.turn()
            history = await world.store.event(event_id)
    assert [each.state for each in history.deliveries] == [DeliveryState.DEAD, DeliveryState.DELIVERED]
    assert "the gateway's process died 3 times while it worked on this delivery" in history.deliveries[0].reason
    assert not [request for request in sink.requests if request.path == "/crm"]
    [text] = alerts(sink)
    assert "died 3 times" in text
