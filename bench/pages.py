"""How fast the console is where it could be slow.

``.venv/bin/python bench/pages.py`` starts a gateway and prints (median and 95th percentile of ``--times``)

1. how long the page of a hostile event takes: 900 KB of one text, 120 levels of nesting, markup in names and values;
2. how long a posted event takes to appear on an open live stream, which looks at the store every 0.4 s.
"""

import argparse
import hashlib
import hmac
import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path

from operating import started, timed
from run import SECRET

ROUTES = """\
version: 1
sources:
  xobito: {{preset: xobito, secret: {secret}}}
destinations:
  crm: {{url: http://127.0.0.1:9/crm, paused: true}}
routes:
  - {{name: contacts, match: contact.*, to: crm, body: {{id: "{{{{ attrs.id }}}}"}}}}
"""
MARKUP = '<script>1</script><img src=x onerror="1">"><b>&amp;\u202egnp.exe'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=21)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "routes.yaml").write_text(ROUTES.format(secret=SECRET))
        with started(folder / "routes.yaml", folder / "gateway.db") as (gateway, admin):
            door = gateway.first_line.split()[1].removeprefix("http://")
            print("page of a hostile event:", timed(f"{admin}/events/{post(door, hostile())}", options.times))
            print("event to live stream:   ", live(door, admin.removeprefix("http://"), options.times))


def hostile():
    deep = json.loads("[" * 120 + "]" * 120)
    return {"firstname": MARKUP, "lastname": "x" * 900_000, "deep": deep, MARKUP: MARKUP}


def live(door, admin, times):
    connection = http.client.HTTPConnection(admin, timeout=60)
    connection.request("GET", "/api/live")
    stream = connection.getresponse()
    took = []
    for number in range(times):
        began = time.perf_counter()
        event_id = post(door, {"number": number}).encode()
        while event_id not in stream.readline():
            pass
        took.append((time.perf_counter() - began) * 1000)
    return f"{statistics.median(took):.0f} ms (p95 {sorted(took)[int(len(took) * 0.95)]:.0f})"


def post(door, attributes):
    model = "App\\Models\\Tenant\\Contact"
    body = json.dumps(
        {"event": "created", "model": model, "data": {"id": 1, "attributes": {"id": 1, **attributes}}}
    ).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    connection = http.client.HTTPConnection(door, timeout=60)
    connection.request(
        "POST", "/in/xobito", body, {"content-type": "application/json", "x-webhook-signature": signature}
    )
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["id"]


if __name__ == "__main__":
    main()
