"""What is asked of the daemon: everything by which it changes its files."""

import os
import signal
import threading

from daemon import AUDIT, Died
from history import Change


class Client:
    """Somebody who asks and writes down."""

    def __init__(self, daemon, history):
        self.connection, self.history = daemon.connect(), history

    def do(self, what, changes, method, path, body=None):
        operation = self.history.begin(what, changes)
        answer = self.connection.ask(method, path, body)
        if answer.status != 200:
            raise AssertionError(f"{what}: {answer.status} {answer.body}")
        made = answer.body.get("secrets", [answer.body]) if what == "create_secret" else []
        for change, version in zip(changes, made):
            change.kid = version["kid"]
        operation.request_id = answer.request_id
        return answer.body

    def put(self, name, value):
        self.do("create_secret", [Change(name, value)], "POST", "/secret", {"name": name, "value": value})

    def put_all(self, values):
        body = {"secrets": [{"name": name, "value": value} for name, value in values.items()]}
        self.do("create_secret", [Change(*item) for item in values.items()], "POST", "/secrets", body)

    def generate(self, name):
        change = Change(name)
        self.do("create_secret", [change], "POST", "/secret", {"name": name, "generate": True})
        self.learn(change)

    def rotate(self, names):
        changes = [Change(name) for name in names]
        self.do("rotate", changes, "POST", "/rotate", {"names": names})
        for change in changes:
            self.learn(change)

    def learn(self, change):
        body = self.read(change.name)
        change.kid, change.value = body["kid"], body["value"]

    def read(self, name, kid=None):
        return self.do("get_secret", (), "GET", f"/secret/{name}" + (f"?kid={kid}" if kid else ""))

    def list(self):
        self.do("list_secrets", (), "GET", "/secrets")

    def configure(self, name, owner):
        self.do("configure_secret", [Change(name, owner=owner)], "PATCH", f"/secret/{name}", {"owner": owner})

    def delete(self, name):
        self.do("delete_secret", [Change(name, deletes=True)], "DELETE", f"/secret/{name}")


def at_once(daemon, history, count, work):
    """Lets that many clients work at the same time."""
    problems = []

    def one(number):
        try:
            work(Client(daemon, history), number)
        except (Died, AssertionError) as why:
            problems.append(why)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def changes_of_every_kind(client):
    client.put("given", "first")
    client.put("given", "second")
    client.generate("made")
    client.put_all({"one": "1", "two": "2" * 700, "three": "3"})
    client.read("given")
    client.list()
    client.configure("given", "somebody")
    client.rotate(["made", "given"])
    client.configure("given", "somebody else")
    client.put("gone", "away")
    client.configure("gone", "nobody")
    client.delete("gone")
    client.put("gone", "back")


def some_together(client, number):
    name = f"together{number}"
    client.put(name, "1" * 100 * number or "0")
    client.read(name)
    client.put(name, "2")


def compaction(daemon, client):
    """More than half of a vault of more than 64 KiB dies."""
    client.put("large", "L" * 60_000)
    client.delete("large")
    daemon.await_line("Vault compacted")
    client.put("after", "the compaction")


def audit_reopened(daemon, place, client, moved):
    """The log is renamed as logrotate does it. Calls `moved` with the id of the answer before that."""
    client.read("given")
    moved(client.history.operations[-1].request_id)
    os.rename(place.on_disk(AUDIT), place.on_disk(AUDIT + ".1"))
    daemon.signal(signal.SIGHUP)
    daemon.await_line("Policy reloaded")
    client.read("given")
    client.put("given", "in the next file")


def first_life(daemon, place, history, moved=lambda _: None):
    """From the first start of all to a stop."""
    try:
        daemon.await_start()
        client = Client(daemon, history)
        changes_of_every_kind(client)
        at_once(daemon, history, 4, some_together)
        compaction(daemon, client)
        audit_reopened(daemon, place, client, moved)
        daemon.stop()
    finally:
        daemon.end()


def next_life(daemon, history, reads):
    """A start on what is there, changes, so many reads, and a stop."""
    try:
        daemon.await_start()
        client = Client(daemon, history)
        client.put("given", "in the next life")
        client.configure("one", "its owner")
        client.rotate(["one", "two", "made"])
        client.delete("three")
        for _ in range(reads):
            client.read("after")
        daemon.stop()
    finally:
        daemon.end()


def short_life(daemon, history):
    """A start on what is there, one change, and a stop."""
    try:
        daemon.await_start()
        client = Client(daemon, history)
        client.put("later", "and safe")
        client.read("later")
        daemon.stop()
    finally:
        daemon.end()
