#!/usr/bin/python3
"""Somebody else in the daemon's place, who would like to steer the terminal of whoever reads what a client says.

    hostile.py STATUS...     answers one request with each status, one after the other, and all others with the last

Prints its port, and then serves until it is ended. The kid of a 200 ends a line and begins another in curl's configuration.
"""

import http.server
import itertools
import json
import sys

# Colours, a title, the character that begins a sequence by itself, deletion, a line begun again, bells, a change of the
# direction, and what a careless echo makes an escape of.
TRICKS = "\x1b[31m\x1b]0;owned\x07\x9b2J\x7f\r\b\x07\u202e\\033[2J".encode()
KID = 'x"\nurl = "file:///etc/passwd"\noutput = "injected"\nheader = "a: \x1b[2J\r'

answers = itertools.chain(sys.argv[1:], itertools.repeat(sys.argv[-1]))


class Hostile(http.server.BaseHTTPRequestHandler):
    def handle_one_request(self):
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = next(answers)
        body = b'{"error":"not_authorized","message":"no' + TRICKS + b'"}'
        if self.path == "/secrets":
            # No UTF-8, which the programs that read one secret take for no answer.
            body = body.replace(b"owned", b"\x9b2J")
        if status == "200":
            body = json.dumps({"name": "n", "value": "v", "kid": KID, "expires_at": "x"}).encode()
        self.send_response(int(status))
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"x"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
