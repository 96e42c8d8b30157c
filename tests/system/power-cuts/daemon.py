"""A daemon that is started, asked and stopped, or dies under the questions."""

import json
import os
import signal
import socket
import subprocess

CONFIG = """[server]
bind_addr = "127.0.0.1:0"

[paths]
vault_path = "{disk}/srv/state/secrets/vault.json"
audit_path = "{disk}/srv/state/audit/audit.jsonl"
master_key_path = "{disk}/srv/keys/master.key"

[security]
rbac_policy_path = "{place}/policy.toml"
"""
POLICY = """[clients.admin]
allow = ["*"]
"""
# Where the vault and the audit log are, below the disk.
VAULT = "srv/state/secrets/vault.json"
AUDIT = "srv/state/audit/audit.jsonl"


class Died(Exception):
    """The daemon is no more, or did not come to be."""


class Answer:
    def __init__(self, status, request_id, body):
        self.status, self.request_id, self.body = status, request_id, body


class Place:
    """A directory with a configuration, and the disk on which the daemon keeps what it keeps."""

    def __init__(self, path):
        self.path, self.disk = path, os.path.join(path, "disk")
        os.makedirs(self.disk)
        for name, text in (("config.toml", CONFIG), ("policy.toml", POLICY)):
            with open(os.path.join(path, name), "w", encoding="ascii") as file:
                file.write(text.format(disk=self.disk, place=path))

    def on_disk(self, path):
        return os.path.join(self.disk, path)


def put_back(place):
    """What an operator has moved away and no daemon has begun anew yet is put back: nobody else can know of it."""
    if os.path.exists(place.on_disk(AUDIT + ".1")) and not os.path.exists(place.on_disk(AUDIT)):
        os.rename(place.on_disk(AUDIT + ".1"), place.on_disk(AUDIT))


class Daemon:
    """Begins to start when made. `under` is what runs it, `more` what its environment has besides."""

    def __init__(self, binary, place, under=(), more=None):
        command = [*under, binary, "--config", os.path.join(place.path, "config.toml")]
        environment = {"RUST_LOG": "info", **(more or {})}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True)
        self.said, self.address = [], None

    def await_start(self):
        line = self.await_line("Starting server on ")
        self.address = ("127.0.0.1", int(line.rsplit(":", 1)[1]))

    def await_line(self, text):
        """The next line of the daemon's log that holds the text."""
        for line in self.process.stderr:
            self.said.append(line)
            if text in line:
                return line
        self.process.wait()
        raise Died(self.said[-1].strip() if self.said else "nothing")

    def connect(self):
        return Connection(self.address)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Stops it as an operator does; it must end well."""
        self.signal(signal.SIGTERM)
        self.said += self.process.stderr
        if self.process.wait() != 0:
            raise Died(f"ended with status {self.process.returncode}: {self.said[-1].strip()}")

    def end(self):
        """Ends it, if it has not ended. Returns its status."""
        self.process.kill()
        self.process.stderr.close()
        return self.process.wait()


class Connection:
    """One that is kept, of the client `admin`."""

    def __init__(self, address):
        try:
            self.socket = socket.create_connection(address, 30)
        except OSError as why:
            raise Died(str(why)) from why
        self.reader = self.socket.makefile("rb")

    def ask(self, method, path, body=None):
        return self.ask_all([(method, path, body)])[0]

    def ask_all(self, requests):
        """Sends all requests before it reads the answers."""
        try:
            self.socket.sendall(b"".join(request_bytes(*request) for request in requests))
            return [self.read() for _ in requests]
        except OSError as why:
            raise Died(str(why)) from why

    def read(self):
        head = {}
        status = self.reader.readline()
        for line in iter(self.reader.readline, b"\r\n"):
            if not line:
                raise Died("the answer ends in its head")
            name, value = line.decode().split(":", 1)
            head[name.lower()] = value.strip()
        body = self.reader.read(int(head["content-length"]))
        if len(body) < int(head["content-length"]):
            raise Died("the answer ends in its body")
        return Answer(int(status.split()[1]), head["x-request-id"], json.loads(body))


def request_bytes(method, path, body):
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Jarvis-Client: admin\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content
