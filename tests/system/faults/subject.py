"""The daemon on a disk that fails when it is told to, and what it has acknowledged."""

import atexit
import http.client
import json
import mmap
import os
import re
import signal
import struct
import subprocess
import threading

WRITE, SYNC, CUT, NAME, OPEN = 1, 2, 4, 8, 16
ALL = WRITE | SYNC | CUT | NAME | OPEN
FAIL, SHORT, TORN = 1, 2, 3
# What the audit log calls them.
CHANGES = {"create_secret", "configure_secret", "delete_secret", "rotate", "destroy_version", "retire", "recovered"}
ENDLESS = 2**64 - 1


class Faults:
    """What faults.c does to the daemon's calls."""

    def __init__(self, path):
        with open(path, "w+b") as file:
            file.truncate(mmap.PAGESIZE)
            self.map = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def set(self, calls, effect, error, first, last):
        """From now on, the calls of these kinds are counted from 1, and those from first to last are struck."""
        self.clear()
        struct.pack_into("IIiiQQQQ", self.map, 0, 0, effect, error, 0, first, last, 0, 0)
        struct.pack_into("I", self.map, 0, calls)

    def clear(self):
        struct.pack_into("I", self.map, 0, 0)

    @property
    def struck(self):
        return struct.unpack_from("Q", self.map, 40)[0]


class Daemon:
    """The daemon's process, its log, and a connection to it."""

    def __init__(self, binary, directory, shim):
        environment = {
            "RUST_LOG": "info",
            "LD_PRELOAD": shim,
            "FAULTS_ROOT": directory + "/",
            "FAULTS_CONTROL": directory + "/control",
        }
        self.process = subprocess.Popen(
            [binary, "--config", directory + "/config.toml"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.process.kill)
        self.log, self.changed, self.is_closed = [], threading.Condition(), False
        threading.Thread(target=self.read_log, daemon=True).start()
        self.connection = None

    def read_log(self):
        for line in self.process.stderr:
            with self.changed:
                self.log.append(line)
                self.changed.notify_all()
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()

    def await_log(self, pattern, behind=0):
        """The first line of the log from number `behind` on that has this pattern; none if the process ends before."""

        def found():
            return next((line for line in self.log[behind:] if re.search(pattern, line)), self.is_closed)

        with self.changed:
            line = self.changed.wait_for(found, timeout=60)
        assert line, f"waited too long for {pattern}: {''.join(self.log[-20:])}"
        return None if line is True else line

    def serves(self):
        """Whether it comes so far as to serve."""
        if self.await_log("Server started successfully") is None:
            return False
        address = self.await_log("Starting server on").split()[-1]
        self.connection = http.client.HTTPConnection(address, timeout=60)
        return True

    def ask(self, method, path, body=None):
        """Status, headers and the JSON of the answer."""
        self.connection.request(method, path, body and json.dumps(body), {"X-Jarvis-Client": "admin"})
        answer = self.connection.getresponse()
        text = answer.read()
        is_json = answer.headers["Content-Type"].startswith("application/json")
        return answer.status, answer.headers, json.loads(text) if is_json else text.decode()

    def end(self, number):
        """Sends the signal and returns the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        self.await_log("$^")
        return status


class Model:
    """What was acknowledged, and that it is there."""

    def __init__(self):
        # None: deleted. The names whose value the daemon made and nobody has read yet are in `unknown`.
        self.secrets = {}
        self.unknown = set()
        # What changes would have made that were refused and may be there after a restart, since all was well.
        self.refused = {}
        self.kids = set()
        # The answers that must have an audit line.
        self.answered = set()

    def change(self, daemon, method, path, body, makes):
        """Asks for a change that makes these values; ... is one that the daemon makes. Returns whether it was made."""
        status, headers, answer = daemon.ask(method, path, body)
        if status == 404 and all(self.secrets.get(name) is None for name in makes):
            return False
        if status == 503:
            check_refusal(headers, answer, {"audit_unavailable", "vault_unavailable"})
            if answer["message"].startswith("the change was made, but its audit line may not survive a power cut"):
                self.answered.add(headers["X-Request-Id"])
                self.made(makes)
            else:
                may_come = "it may be there after a restart" in answer["message"]
                is_nothing = "nothing was changed" in answer["message"] or "nothing was served" in answer["message"]
                assert may_come != is_nothing, answer
                for name, value in makes.items() if may_come else ():
                    self.refused.setdefault(name, []).append(value)
            return False
        assert status == 200, (method, path, status, answer)
        self.answered.add(headers["X-Request-Id"])
        self.made(makes)
        for made in answer.get("secrets", [answer]):
            if "kid" in made and method == "POST":
                assert made["kid"] not in self.kids, f"{made['kid']} was given to two versions"
                self.kids.add(made["kid"])
        return True

    def made(self, makes):
        for name, value in makes.items():
            self.secrets[name] = value
            (self.unknown.add if value is ... else self.unknown.discard)(name)

    def read(self, daemon, name, is_after_a_kill=False):
        """Returns whether it was answered what there is."""
        status, headers, answer = daemon.ask("GET", f"/secret/{name}")
        if status == 503:
            check_refusal(headers, answer, {"audit_unavailable"})
            assert "value" not in answer
            return False
        assert status in (200, 404), (name, status, answer)
        value = answer.get("value")
        expected = self.secrets.get(name)
        possible = self.refused.get(name, []) if is_after_a_kill else []
        if value != expected and (value in possible or value is not None and ... in possible):
            # One that the disk would not take back is in force, and audited as recovered.
            expected = self.secrets[name] = value
            self.unknown.discard(name)
        if name in self.unknown and value is not None:
            self.unknown.discard(name)
            expected = self.secrets[name] = value
        assert value == expected, f"{name} is {str(value):.40} instead of {str(expected):.40}"
        self.answered.add(headers["X-Request-Id"])
        return True

    def list(self, daemon):
        status, headers, answer = daemon.ask("GET", "/secrets")
        if status == 503:
            return check_refusal(headers, answer, {"audit_unavailable"})
        assert status == 200, (status, answer)
        expected = sorted(name for name, value in self.secrets.items() if value is not None)
        assert [listed["name"] for listed in answer["secrets"]] == expected, (answer, expected)
        self.answered.add(headers["X-Request-Id"])

    def compare(self, daemon, is_after_a_kill=False):
        """All is well, and as it was acknowledged."""
        status, _, answer = daemon.ask("GET", "/healthz")
        assert status == 200, ("it did not heal", answer, daemon.log[-20:])
        for name in {**self.secrets, **self.refused}:
            self.read(daemon, name, is_after_a_kill)
        self.refused.clear()
        self.list(daemon)


def check_refusal(headers, answer, codes):
    assert answer["error"] in codes and headers["Retry-After"], (answer, headers.items())


def renamed_logs(directory):
    """The oldest first."""
    names = [name for name in os.listdir(directory + "/audit") if re.fullmatch(r"audit\.jsonl\.\d+", name)]
    return [f"{directory}/audit/{name}" for name in sorted(names, key=lambda name: int(name[12:]))]


def check_audit(binary, directory, model):
    """The log verifies, all of its files one behind the other, and has a line for every answer."""
    paths = [*renamed_logs(directory), directory + "/audit/audit.jsonl"]
    verified = subprocess.run([binary, "audit", "verify", *paths], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stderr
    # Behind the last whole line, a kill may have left the beginning of one, which the log goes on without.
    lines = [json.loads(line) for path in paths for line in open(path) if line.endswith("\n")]
    missing = model.answered - {line["request_id"] for line in lines}
    assert not missing, f"{len(missing)} answers were given without an audit line: {missing}"
    changes = [line["vault_seq"] for line in lines if line["event"] in CHANGES and line["result"] == "success"]
    assert changes == list(range(1, len(changes) + 1)), f"not one line for each change: {changes[-50:]}"
