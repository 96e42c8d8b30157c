"""A session with PostgreSQL: what a login by SCRAM-SHA-256 and a statement without rows need of its protocol, version 3.

libpq would do, but tells a password that was refused from a server that is busy by words alone, which may be in any language.
"""

import base64
import hashlib
import hmac
import os
import struct
import time
import urllib.parse

from applier import SECONDS, Failed, Refused, connect, is_local, tls

INVALID_PASSWORD = "28P01"
# As few as RFC 7677 lets a server keep a password with, and PostgreSQL by itself.
ITERATIONS = 4096
# How sessions that change a password call themselves: everybody in the server may see that.
CHANGES = "jarvis-secretsd changes a password"
# What a client may want to find in the URI, and what does not matter here.
NOT_OURS = {"application_name", "channel_binding", "connect_timeout", "fallback_application_name", "gssencmode", "keepalives",
            "options", "target_session_attrs", "tcp_user_timeout"}


class Server:
    """Where a URI of PostgreSQL leads: postgresql://[user[:password]@]host[:port]/database[?parameters]"""

    def __init__(self, uri, what, is_secret=False):
        try:
            parts = urllib.parse.urlsplit(uri)
            parameters = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            port = parts.port
        except ValueError:
            raise Failed(f"{what} is not a URI") from None
        unknown = set(parameters) - NOT_OURS - {"host", "port", "sslmode", "sslrootcert"}
        if parts.scheme not in ("postgresql", "postgres") or parts.fragment or unknown:
            told = "" if is_secret else "".join(f"; {key} is not known" for key in sorted(unknown))
            raise Failed(f"{what} is not as postgresql://host:5432/database?sslmode=verify-full{told}")
        self.uri = parts
        self.user = urllib.parse.unquote(parts.username or "")
        self.password = urllib.parse.unquote(parts.password or "")
        self.database = urllib.parse.unquote(parts.path[1:])
        self.host = parameters.get("host") or parts.hostname or ""
        if "\0" in self.user + self.password + self.database + self.host or not self.host or not self.database:
            raise Failed(f"{what} has no host or no database")
        try:
            self.port = int(parameters.get("port", port or 5432))
        except ValueError:
            raise Failed(f"{what}: the port is not a number") from None
        self.authorities = parameters.get("sslrootcert")
        self.tls = parameters.get("sslmode", "disable" if is_local(self.host) else "")
        if self.tls not in ("disable", "require", "verify-full"):
            raise Failed(f"{what}: sslmode must be verify-full, require or disable, and is needed for another host")

    def uri_for(self, user, password):
        """The URI with which that user logs in."""
        host = self.uri.netloc.rpartition("@")[2]
        said = f"{urllib.parse.quote(user, safe='')}:{urllib.parse.quote(password, safe='')}@{host}"
        return urllib.parse.urlunsplit(self.uri._replace(netloc=said))


class Session:
    """A session of that user. `was_asked` is whether the server wanted the password. Refused, if it does not take it."""

    def __init__(self, server, user, password, name="jarvis-secretsd"):
        self.was_asked = False
        self.socket = self.connected(server)
        self.file = self.socket.makefile("rb")
        said = {"user": user, "database": server.database, "client_encoding": "UTF8", "application_name": name}
        body = struct.pack("!i", 196608) + b"".join(f"{key}\0{value}\0".encode() for key, value in said.items()) + b"\0"
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.log_in(password)
        while self.message() != b"Z":
            pass

    @staticmethod
    def connected(server):
        if server.host.startswith("/"):
            return connect(f"{server.host}/.s.PGSQL.{server.port}", None)
        connection = connect(server.host, server.port)
        if server.tls == "disable":
            return connection
        connection.sendall(struct.pack("!ii", 8, 80877103))
        if connection.recv(1) != b"S":
            raise Failed("the server does not speak TLS")
        return tls(connection, server.host, server.authorities, verified=server.tls == "verify-full")

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def message(self):
        """The kind of the next message that says something; what it says is then in self.body."""
        while True:
            head = self.file.read(5)
            length = struct.unpack("!i", head[1:])[0] - 4 if len(head) == 5 else -1
            self.body = self.file.read(length) if 0 <= length <= 1 << 20 else b""
            if len(self.body) != length:
                raise Failed("the server has ended the session, or is not PostgreSQL")
            kind = head[:1]
            if kind == b"E":
                fields = {field[:1]: field[1:].decode(errors="replace") for field in self.body.split(b"\0") if field}
                code, why = fields.get(b"C", "?????"), fields.get(b"M", "")
                raise (Refused if code == INVALID_PASSWORD else Failed)(f"the server says {code}: {why}")
            # A notice, or a setting that has changed.
            if kind not in b"NS":
                return kind

    def authentication(self):
        """What the server says next on who we are: its number, and what belongs to it."""
        if self.message() != b"R" or len(self.body) < 4:
            raise Failed("the server does not answer as PostgreSQL does")
        return struct.unpack("!i", self.body[:4])[0], self.body[4:]

    def log_in(self, password):
        """As RFC 5802 and RFC 7677 say. The server proves that it knows the password too."""
        asked, offered = self.authentication()
        if asked == 0:
            return
        if asked != 10 or b"SCRAM-SHA-256" not in offered.split(b"\0"):
            raise Failed("the server requires a method other than SCRAM-SHA-256 (see password_encryption, pg_hba.conf)")
        if password is None:
            raise Failed("the server requires a password")
        first = b"n=,r=" + base64.b64encode(os.urandom(18))
        self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first) + 3) + b"n,," + first)
        number, challenge = self.authentication()
        said = dict(part.split(b"=", 1) for part in challenge.split(b",") if b"=" in part)
        nonce, salt, rounds = said.get(b"r", b""), said.get(b"s", b""), said.get(b"i", b"")
        if number != 11 or not nonce.startswith(first[5:]) or not rounds.isdigit() or int(rounds) > 1000000:
            raise Failed("the server does not follow SCRAM-SHA-256")
        if int(rounds) < ITERATIONS:
            raise Failed(f"the server keeps the password with {int(rounds)} iterations, fewer than the {ITERATIONS} of RFC 7677; "
                         "set it anew (see scram_iterations)")
        client_key, stored_key, server_key = keys(password, base64.b64decode(salt), int(rounds))
        last = b"c=biws,r=" + nonce
        signed = first + b"," + challenge + b"," + last
        proof = bytes(one ^ other for one, other in zip(client_key, sha256(stored_key, signed)))
        self.send(b"p", last + b",p=" + base64.b64encode(proof))
        number, answer = self.authentication()
        if number != 12 or not hmac.compare_digest(answer, b"v=" + base64.b64encode(sha256(server_key, signed))):
            raise Failed("the server does not know the password, so it is the wrong server")
        self.was_asked = True
        if self.authentication()[0] != 0:
            raise Failed("the server requires more than a password")

    def execute(self, statement):
        """How many rows that is."""
        rows = 0
        self.send(b"Q", statement.encode() + b"\0")
        while (kind := self.message()) != b"Z":
            rows += kind == b"D"
        return rows

    def await_changes(self):
        """Waits until no other session changes a password: whoever began may be dead, and the server still be at it.

        Whether there was one to wait for."""
        question = f"SELECT FROM pg_stat_activity WHERE application_name = '{CHANGES}' AND pid <> pg_backend_pid()"
        for tries in range(10 * SECONDS):
            if self.execute(question) == 0:
                return tries > 0
            time.sleep(0.1)
        raise Failed(f"another session {CHANGES.removeprefix('jarvis-secretsd ')} and does not end")

    def close(self):
        self.send(b"X", b"")
        self.socket.close()


def sha256(key, data):
    return hmac.digest(key, data, "sha256")


def keys(password, salt, rounds):
    """The client's key, the stored key and the server's key."""
    # Of other characters, several sequences may be the same password (SASLprep).
    if not password.isascii() or not password.isprintable():
        raise Failed("the password holds other characters than printable ASCII")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client_key = sha256(salted, b"Client Key")
    return client_key, hashlib.sha256(client_key).digest(), sha256(salted, b"Server Key")


def verifier(password):
    """What the server keeps of a password, by which it can be checked and not be known."""
    salt = os.urandom(16)
    _, stored_key, server_key = keys(password, salt, ITERATIONS)
    salt, stored_key, server_key = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${ITERATIONS}:{salt}${stored_key}:{server_key}"
