#!/usr/bin/python3
"""A proxy between a daemon and a member of an etcd, which loses answers: the request was carried out, and who sent it is not told.

    lossy.py ADDRESS PORT MEMBER DIRECTORY RULES

listens there, takes requests as the member does, with the certificates of DIRECTORY, and passes them on to the address MEMBER.
RULES is a file with three numbers, which is read for each request: how many answers of a hundred are lost, for how many
milliseconds each request is held back, and for how many milliseconds the answer to a transaction that only reads is given again
to the same one. Of the answers that are lost, every other one ends the connection, and every other one leaves it open.

The last of the rules makes reads stale: a daemon that asks whether anything has come since is told what was true a moment ago.
"""

import http.client
import http.server
import itertools
import random
import ssl
import sys
import threading
import time

address, port, member, directory, rules = sys.argv[1:]
as_client = ssl.create_default_context(cafile=f"{directory}/ca.pem")
as_client.load_cert_chain(f"{directory}/client.pem", f"{directory}/client.key")
as_member = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{directory}/ca.pem")
as_member.load_cert_chain(f"{directory}/member.pem", f"{directory}/member.key")
as_member.verify_mode = ssl.CERT_REQUIRED
losses = itertools.count()
never = threading.Event()
# Of each transaction that only reads: until when its answer is given again, and that answer.
known = {}


class Lossy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out in one piece.
    wbufsize = -1
    disable_nagle_algorithm = True

    def setup(self):
        self.request.do_handshake()
        self.upstream = http.client.HTTPSConnection(member, 2379, context=as_client)
        super().setup()

    def finish(self):
        self.upstream.close()
        super().finish()

    def do_GET(self):
        with open(rules) as file:
            lost, delay, stale = map(float, file.read().split())
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if delay:
            never.wait(delay / 1000)
        until, *answer = known.get(body, (0,))
        if not (stale and time.monotonic() < until):
            try:
                answer = self.pass_on(body)
            except (OSError, http.client.HTTPException):
                self.close_connection = True
                return
            # A change of one's own makes all of them old.
            if b"request_put" in body or b"request_delete_range" in body:
                known.clear()
            elif stale and self.path.endswith("/kv/txn"):
                known[body] = (time.monotonic() + stale / 1000, *answer)
        status, kind, content = answer
        if random.random() * 100 < lost:
            if next(losses) % 2:
                # Until the daemon gives up, and sends nothing more over this connection.
                self.rfile.read(1)
            self.close_connection = True
            return
        self.send_response_only(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def pass_on(self, body):
        self.upstream.request(self.command, self.path, body, {k: v for k, v in self.headers.items() if k != "Host"})
        answer = self.upstream.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def get_request(self):
        connection, peer = self.socket.accept()
        return as_member.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), peer

    def handle_error(self, *_):
        """Of connections that break, the daemon has to tell."""


with Server((address, int(port)), Lossy) as server:
    print("listens", flush=True)
    server.serve_forever()
