"""The script that everyone writes first: verify the signature, answer, forward in a thread. ``PORT URL SECRET [first]``

With ``first`` it forwards before it answers, and answers 502 when that fails.
"""

import hashlib
import hmac
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, url, secret, *mode = sys.argv[1:]


def forward(body):
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


class Hook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature, self.headers.get("x-webhook-signature", "")):
            return self.answer(401)
        if mode:
            try:
                forward(body)
            except OSError:
                return self.answer(502)
        else:
            threading.Thread(target=forward, args=(body,), daemon=True).start()
        return self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    threading.excepthook = lambda _: None  # a forward that failed is gone, as it is everywhere else
    ThreadingHTTPServer(("127.0.0.1", int(port)), Hook).serve_forever()
