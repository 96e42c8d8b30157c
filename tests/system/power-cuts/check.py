"""Whether a daemon that is started on what a crash left has kept what was promised, and heals by itself."""

import json
import os
import re
import subprocess
from datetime import datetime

from daemon import AUDIT, Daemon, Died
from history import OWNER

# The events by which an audit line says that the vault was changed.
CHANGES = {"create_secret", "configure_secret", "delete_secret", "rotate", "recovered"}

# What a workload deletes and does not store again.
DELETED = {"large", "three"}
SECOND = re.compile(r"[0-9]{8}-[0-9]{6}")


class Broken(Exception):
    """A promise that was not kept."""


def check(binary, place, history, acknowledged, audited, durable_log=b""):
    """Starts a daemon on the disk at `place` and compares.

    `acknowledged`: the ids of the answers that were given. `audited`: those of them that must have their audit line, besides
    the changes. `durable_log`: how the audit log must begin.
    """
    # A comparison that nobody waits for any more is ended, and the daemon must not outlive it.
    daemon = Daemon(binary, place, ("setpriv", "--pdeathsig", "KILL"), clock_set_back(history, acknowledged))
    try:
        daemon.await_start()
        connection = daemon.connect()
        made = [check_secret(connection, name, history.allowed(name, acknowledged)) for name in history.names()]
        check_are_whole(made)
        check_it_works(connection, history, acknowledged)
        daemon.stop()
    except Died as why:
        raise Broken(f"the daemon says: {why}") from why
    finally:
        daemon.end()
    check_audit(binary, place, history, acknowledged, audited, durable_log)


def check_secret(connection, name, allowed):
    """Returns the operation that was made of it though it was not acknowledged, if one was."""
    listed, current = connection.ask_all([("GET", f"/secret/{name}/versions", None), ("GET", f"/secret/{name}", None)])
    kids = [version["kid"] for version in listed.body["versions"]] if listed.status == 200 else []
    answers = connection.ask_all([("GET", f"/secret/{name}?kid={kid}", None) for kid in kids])
    there = [(kid, answer.body.get("value")) for kid, answer in zip(kids, answers)]
    owner = listed.body["settings"].get("owner") if kids else None
    there += [(OWNER, owner)] if owner else []
    found = [operation for versions, operation in allowed if matches(there, versions)]
    if not found:
        expected = " or ".join(shortened(versions) for versions, _ in allowed)
        raise Broken(f"{name} has {shortened(there)} instead of {expected}")
    if current.status != (200 if there else 404):
        raise Broken(f"{name} is answered {current.status}")
    if there and (current.body["kid"], current.body["value"]) != there[0]:
        raise Broken(f"{name} has another current version than its newest")
    return found[0]


def check_are_whole(made):
    """Of operations, one for each of the secrets of which it was made: that it was made of all of its secrets."""
    for operation in filter(None, made):
        count, names = made.count(operation), [change.name for change in operation.changes]
        if count < len(names):
            raise Broken(f"{operation.what} of {', '.join(names)} was made of {count} of them")


def matches(there, versions):
    return len(there) == len(versions) and all(
        expected in (None, found) for pair in zip(there, versions) for found, expected in zip(*pair)
    )


def shortened(versions):
    return str([(kid, value and value[:20]) for kid, value in versions])


def clock_set_back(history, acknowledged):
    """The environment of a daemon for which it is and stays the second of a kid that must not come again: of a secret that was
    deleted, if one was."""
    of_all = [history.kids(name, acknowledged) for name in sorted(history.names(), key=DELETED.__contains__)]
    kids = [kid for kids in of_all for kid in kids]
    if not kids:
        return {}
    second = datetime.strptime(SECOND.search(kids[-1]).group(), "%Y%m%d-%H%M%S")
    preload = {"LD_PRELOAD": os.environ["FAKETIME_LIBRARY"], "DONT_FAKE_MONOTONIC": "1", "TZ": "UTC"}
    return {**preload, "FAKETIME": second.strftime("%Y-%m-%d %H:%M:%S")}


def check_it_works(connection, history, acknowledged):
    """New versions of all secrets, each with a kid that none ever had."""
    names = [*history.names(), "probe"]
    body = {"secrets": [{"name": name, "value": "works"} for name in names]}
    put, got = connection.ask_all([("POST", "/secrets", body), ("GET", "/secret/probe", None)])
    if put.status != 200 or got.body.get("value") != "works":
        raise Broken(f"it cannot be changed: {put.body}, {got.body}")
    for name, made in zip(names, put.body["secrets"]):
        if made["kid"] in history.kids(name, acknowledged):
            raise Broken(f"{made['kid']} came twice")


def check_audit(binary, place, history, acknowledged, audited, durable_log):
    files = [path for path in (place.on_disk(AUDIT + ".1"), place.on_disk(AUDIT)) if os.path.exists(path)]
    verified = subprocess.run([binary, "audit", "verify", *files], capture_output=True, text=True, check=False)
    if verified.returncode != 0 or "interrupted write" in verified.stdout:
        raise Broken(f"the audit log does not verify: {verified.stdout}{verified.stderr}")
    log = b""
    for path in files:
        with open(path, "rb") as file:
            log += file.read()
    if not log.startswith(durable_log):
        raise Broken("audit lines that were synced are gone")
    lines = [json.loads(line) for line in log.splitlines()]
    written = {(line["event"], line["request_id"]) for line in lines}
    for operation in history.operations:
        if operation.request_id in acknowledged and (operation.changes or operation.request_id in audited):
            if (operation.what, operation.request_id) not in written and not recovered(lines, operation):
                raise Broken(f"{operation.what} was answered ({operation.request_id}) and is not in the audit log")
    numbers = [line["vault_seq"] for line in lines if line["event"] in CHANGES and line["result"] == "success"]
    if numbers != list(range(1, len(numbers) + 1)):
        raise Broken(f"the audit log tells the vault's changes as {numbers}")


def recovered(lines, operation):
    """Whether it was never answered, and told by a later answer."""
    kids = {line["kid"] for line in lines if line["event"] == "recovered"}
    return bool(operation.changes) and all(change.kid in kids for change in operation.changes)
