"""P9: what becomes of stored events on a disk without a free byte, and of new ones; and how service resumes."""

import contextlib
import http.client
import os
import re
import subprocess
import time

import pytest

from tests.acceptance.harness import GatewayProcess, distinct, eventually, signature
from tests.needs import needs, needs_root
from tests.sink import Sink, answer

EVENTS = 188
ROUTES = """
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations: {{crm: {{url: "{url}", concurrency: 8, retry: {{for: 1h, first: 1s, max: 1s}}}}}}
routes: [{{name: contacts, match: contact.created, to: crm, body: {{id: "{{{{ attrs.id }}}}"}}}}]
"""
#: Seconds within which the gateway notices that there is room again.
PROMISED_S = 10


def tmpfs(folder):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", folder], check=True)


def ext4(folder):
    needs("mkfs.ext4", "e2fsprogs")
    image = folder.with_name("image")
    with image.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    # A container may have no loop devices.
    done = subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, text=True, check=False)
    needs("losetup", "mount (and loop devices)", is_there=done.returncode == 0)


@pytest.fixture(params=[tmpfs, ext4], ids=lambda make: make.__name__)
def disk(request, tmp_path):
    """A small file system of its own."""
    needs_root("to mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    request.param(folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(disk):
    """Another program takes whatever is left, to the last byte."""
    with (disk / "filler").open("ab", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size) == size:
                    pass
    assert os.statvfs(disk).f_bavail == 0


def refused(gateway, number):
    """Post an event that cannot be taken; what the sender is told."""
    body = distinct(number)
    connection = http.client.HTTPConnection(gateway.ingest, timeout=60)
    try:
        connection.request("POST", "/in/xobito", body, {"x-webhook-signature": signature(body)})
        response = connection.getresponse()
        response.read()
        return response.status, int(response.headers.get("retry-after", 0))
    finally:
        connection.close()


def test_stored_events_go_out_on_a_full_disk_new_ones_are_refused_and_service_resumes_by_itself(disk):
    # Answers as long as are kept: each record takes as much space as it can.
    busy, long_answer = answer(503, b"b" * 1024), answer(200, b"a" * 1024)
    with Sink(busy) as sink:
        gateway = GatewayProcess(disk, ROUTES.format(url=sink.url))
        with gateway:
            acked = [gateway.post(distinct(number))[1]["id"] for number in range(EVENTS)]
            eventually((disk / "gateway.db.reserve").exists, "there is a reserve")
            fill(disk)
            eventually(lambda: "no new events are accepted" in gateway.api("/readyz")[1]["status"], "it is not ready")
            assert gateway.api("/readyz")[0] == 503
            assert refused(gateway, 1000) == (503, 5)
            sink.at("/", long_answer)
            eventually(lambda: pending(gateway) == 0, f"all {EVENTS} stored events have gone out")
            assert {state for id_ in acked for state in states(gateway, id_)} == {"delivered"}
            assert refused(gateway, 1001) == (503, 5)
            (disk / "filler").unlink()
            freed = time.monotonic()
            eventually(lambda: gateway.post(distinct(1002))[0] == 202, "new events are accepted", PROMISED_S)
            eventually(lambda: gateway.api("/readyz")[0] == 200, "it is ready", freed + PROMISED_S - time.monotonic())


def test_a_gateway_that_starts_on_a_full_disk_sends_what_is_stored(disk):
    with Sink(answer(503)) as sink:
        gateway = GatewayProcess(disk, ROUTES.format(url=sink.url))
        with gateway:
            for number in range(EVENTS):
                assert gateway.post(distinct(number))[0] == 202
            eventually((disk / "gateway.db.reserve").exists, "there is a reserve")
        fill(disk)
        sink.at("/", answer(200))
        with gateway:
            eventually(lambda: pending(gateway) == 0, "all stored events have gone out")
            assert refused(gateway, 1000) == (503, 5)


def test_new_events_are_refused_while_the_disk_still_has_room_for_the_stored_ones(disk):
    with Sink(answer(503)) as sink, GatewayProcess(disk, ROUTES.format(url=sink.url)) as gateway:
        assert gateway.post(distinct(1))[0] == 202
        eventually((disk / "gateway.db.reserve").exists, "there is a reserve")
        with (disk / "filler").open("ab", buffering=0) as file:
            while True:
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                if free < 7 * 1024 * 1024:
                    break
                file.write(b"x" * 1024 * 1024)
        # A tenth of 64 MiB stays free.
        number = iter(range(2, 100_000))

        def is_refused():
            status, retry_after = refused(gateway, next(number))
            assert status in (202, 503)
            return status == 503 and retry_after

        eventually(is_refused, "new events are refused")
        assert os.statvfs(disk).f_bavail > 0, "before the disk is full"
        sink.at("/", answer(200))
        eventually(lambda: pending(gateway) == 0, "all stored events have gone out")


def pending(gateway):
    metrics = gateway.api("/metrics")[1]
    return sum(float(each) for each in re.findall(r"gateway_deliveries_open\{.*\} ([\d.e+]+)", metrics))


def states(gateway, event_id):
    return [each["state"] for each in gateway.deliveries(event_id)]
