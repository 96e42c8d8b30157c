"""The lives of a daemon, traced; and all that a power cut could have left of its disk meanwhile."""

import os
import random
import shutil
import tempfile

from check import Broken, check
from cuts import Left, states
from daemon import AUDIT, Daemon, Place, put_back
from disk import CALLS, Disk
from history import History
from trace import moments

STRACE = ("strace", "-D", "-f", "-qq", "-xx", "-s", "1000000", "-e", "trace=" + ",".join(CALLS))
# How many of the states behind each call are put together at random.
SAMPLES = 6


class Recording:
    """Lives on one disk: what was done to it, and what was asked and answered. It may begin with what another one left."""

    def __init__(self, binary, directory, before=None):
        self.binary, self.directory = binary, tempfile.mkdtemp(dir=directory)
        self.place = Place(os.path.join(self.directory, "at"))
        self.history, self.acknowledged, self.left, self.durable_log = History(), frozenset(), Left(), b""
        if before:
            self.history, self.acknowledged = before.history.copy(), before.acknowledged
            self.left, self.durable_log = before.left, before.durable_log
            self.left.lay(self.place.disk)
            put_back(self.place)
        self.traces, self.moved = [], None

    def daemon(self, *variables):
        """Another one, with these variables, which is traced."""
        put_back(self.place)
        self.traces.append(os.path.join(self.directory, f"trace-{len(self.traces) + 1}"))
        return Daemon(self.binary, self.place, (*STRACE, "-o", self.traces[-1], "/usr/bin/env", *variables))

    def note_moved(self, request_id):
        """Behind the answer with this id, the audit log is moved."""
        self.moved = request_id

    def replay(self, lies=()):
        """The disk behind each call that changes it and each answer, the same object each time."""
        disk, is_moved = Disk(self.place.disk, lies), False
        disk.lay(self.left)
        disk.acknowledged.update(self.acknowledged)
        for trace in self.traces:
            # As `put_back` did it.
            if disk.find(AUDIT) is None and disk.find(AUDIT + ".1"):
                disk.move(AUDIT + ".1", AUDIT)
            disk.forget_descriptors()
            for ended, call in moments(trace):
                if disk.end(call) if ended else disk.begin(call):
                    yield disk
                    if not is_moved and self.moved in disk.acknowledged:
                        is_moved = True
                        disk.move(AUDIT, AUDIT + ".1")
                        yield disk

    def cases(self, seed, lies=(), only_at_the_end=False):
        """All that may be left, each once, with what must be true of it at the last moment at which it may be; and how many
        there were before those that are the same were counted once."""
        count, found = 0, {}
        for disk in [list(self.replay(lies))[-1]] if only_at_the_end else self.replay(lies):
            acknowledged = frozenset(disk.acknowledged)
            # An answer alone changes nothing of what may be left.
            chance = random.Random(f"{seed} {disk.changes}")
            for how, left in states(disk, chance, SAMPLES):
                count += 1
                key = left.key()
                audited = acknowledged - self.acknowledged if how == "all kept" else found[key].audited if key in found else frozenset()
                how = f"after {disk.changes} changes, {how}"
                found[key] = Case(self.history, how, left, acknowledged, audited, self.durable_part(left))
        return count, list(found.values())

    def durable_part(self, left):
        """The audit lines that were synced."""
        files = [left.tree[path][0] for path in (AUDIT + ".1", AUDIT) if path in left.tree]
        if files and files[-1].is_laid:
            return self.durable_log
        return b"".join(file.synced for file in files)


class Case:
    """A state that may be left, and what must be true of it."""

    def __init__(self, history, how, left, acknowledged, audited, durable_log):
        self.history, self.how, self.left = history, how, left
        self.acknowledged, self.audited, self.durable_log = acknowledged, audited, durable_log

    def examine(self, binary, directory):
        """Returns what is broken, or none."""
        where = tempfile.mkdtemp(dir=directory)
        try:
            place = Place(os.path.join(where, "at"))
            self.left.lay(place.disk)
            put_back(place)
            check(binary, place, self.history, self.acknowledged, self.audited, self.durable_log)
        except Broken as why:
            return f"{self.how}: {why}"
        finally:
            shutil.rmtree(where)
        return None
