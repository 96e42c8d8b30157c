#!/usr/bin/python3
"""A server that is not what an applier takes it for. Prints its port, and then serves until it is ended.

    fake.py lines GREETING ANSWER   sends a line as its greeting, unless that is empty, and one for each line that it is sent
    fake.py redis ANSWER...         answers the commands of a connection as Redis would, one after the other, with these
    fake.py postgres                reads a password, and lets in whoever knows how to log in, by SCRAM-SHA-256, whatever proof
                                    of knowing the password is sent. It proves that it knows the password itself
"""

import base64
import os
import pathlib
import re
import socketserver
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "contrib/appliers"))
sys.dont_write_bytecode = True
from postgresql import keys, sha256

KIND, *REST = sys.argv[1:]
PASSWORD = sys.stdin.readline().strip() if KIND == "postgres" else ""


class Lines(socketserver.StreamRequestHandler):
    def handle(self):
        greeting, answer = REST
        if greeting:
            self.say(greeting)
        while self.rfile.readline():
            self.say(answer)

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")


class Redis(Lines):
    def handle(self):
        for answer in REST:
            count = int(self.rfile.readline()[1:] or 0)
            for _ in range(2 * count):
                self.rfile.readline()
            if count:
                self.say(answer)


class Postgres(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.read(struct.unpack("!i", self.rfile.read(4))[0] - 4)
        self.authentication(10, b"SCRAM-SHA-256\0\0")
        first = re.search(rb"n=,r=.*", self.answer())[0]
        salt = os.urandom(16)
        challenge = first[3:] + b"server,s=" + base64.b64encode(salt) + b",i=4096"
        self.authentication(11, challenge)
        last = self.answer().rpartition(b",p=")[0]
        signature = sha256(keys(PASSWORD, salt, 4096)[2], b",".join((first, challenge, last)))
        self.authentication(12, b"v=" + base64.b64encode(signature))
        self.authentication(0, b"")
        self.send(b"Z", b"I")
        # Whatever is asked has no rows.
        while self.rfile.read(1) == b"Q":
            self.rfile.read(struct.unpack("!i", self.rfile.read(4))[0] - 4)
            self.send(b"Z", b"I")

    def send(self, kind, body):
        self.wfile.write(kind + struct.pack("!i", len(body) + 4) + body)

    def authentication(self, number, more):
        self.send(b"R", struct.pack("!i", number) + more)

    def answer(self):
        return self.rfile.read(struct.unpack("!xi", self.rfile.read(5))[0] - 4)


handler = {"lines": Lines, "redis": Redis, "postgres": Postgres}[KIND]
with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
