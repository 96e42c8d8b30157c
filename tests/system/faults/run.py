"""A workload during which the n-th call that changes a file fails, for all n and each way to fail. See 28-disk-faults.sh."""

import errno
import itertools
import os
import shutil
import signal
import sys
import time

from subject import ALL, CUT, ENDLESS, FAIL, NAME, OPEN, SHORT, SYNC, TORN, WRITE
from subject import Daemon, Faults, Model, check_audit, check_refusal, renamed_logs

BINARY, DIRECTORY, SHIM = sys.argv[1:]
AUDIT = DIRECTORY + "/audit/audit.jsonl"
VAULT = DIRECTORY + "/secrets/vault.json"
# The ways in which one call fails.
ONCE = {
    "EIO": (FAIL, errno.EIO, 1),
    "ENOSPC": (FAIL, errno.ENOSPC, 1),
    "EDQUOT": (FAIL, errno.EDQUOT, 1),
    "EINTR": (FAIL, errno.EINTR, 1),
    "a short write": (SHORT, 0, 1),
    "a short write, and none behind it": (TORN, errno.ENOSPC, 2),
}
KINDS = {
    "write": WRITE,
    "write or truncation": WRITE | CUT,
    "sync": SYNC,
    "rename or the like": NAME,
    "open": OPEN,
}
faults = Faults(DIRECTORY + "/control")
values = map("value {}".format, itertools.count())
renamed = itertools.count()


def clean():
    for state in ("secrets", "audit"):
        shutil.rmtree(f"{DIRECTORY}/{state}", ignore_errors=True)


def start():
    daemon = Daemon(BINARY, DIRECTORY, SHIM)
    assert daemon.serves(), daemon.log
    return daemon


def put(daemon, model, name, value):
    return model.change(daemon, "POST", "/secret", {"name": name, "value": value}, {name: value})


def delete(daemon, model, name):
    return model.change(daemon, "DELETE", f"/secret/{name}", None, {name: None})


def compactions(daemon):
    """How many have succeeded and failed. The log says it at once, and the metrics are made at most once a second."""
    return [sum(what in line for line in daemon.log) for what in ("Vault compacted: ", "Compaction failed, ")]


def compact(daemon, model):
    """Has the vault compacted, if the two changes are made for which that is worthwhile. Returns whether it has failed."""
    before = compactions(daemon)
    # Dead, it is more than half of the file.
    if put(daemon, model, "large", "x" * 65536) and delete(daemon, model, "large"):
        await_that("a compaction was tried", lambda: compactions(daemon) != before)
    return compactions(daemon)[1] > before[1]


def work(daemon, model):
    """Everything that changes a file of a daemon at work."""
    put(daemon, model, "kept", next(values))
    model.read(daemon, "kept")
    put(daemon, model, "gone", next(values))
    delete(daemon, model, "gone")
    several = {name: next(values) for name in ("one", "other")}
    secrets = [{"name": name, "value": value} for name, value in several.items()]
    model.change(daemon, "POST", "/secrets", {"secrets": secrets}, several)
    model.change(daemon, "POST", "/secret", {"name": "made", "generate": True}, {"made": ...})
    model.change(daemon, "PATCH", "/secret/made", {"owner": next(values)}, {})
    model.change(daemon, "POST", "/rotate", {"names": ["made"]}, {"made": ...})
    revoking = {"name": "kept", "value": next(values), "revoke_previous": True}
    model.change(daemon, "POST", "/secret", revoking, {"kept": revoking["value"]})
    model.read(daemon, "made")

    compact(daemon, model)
    if os.path.exists(AUDIT):
        os.rename(AUDIT, f"{AUDIT}.{next(renamed)}")
    lines = len(daemon.log)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.await_log("Policy (not )?reloaded[:,]", lines)
    model.list(daemon)
    model.read(daemon, "one")


def await_that(what, is_so):
    for _ in range(6000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError(f"waited too long until {what}")


def heal(daemon, model):
    """Lets the disk work again; with nothing but that, all is well."""
    faults.clear()
    model.compare(daemon)
    assert put(daemon, model, "kept", next(values)) and not compact(daemon, model), daemon.log[-20:]


def struck_once(effect, error, length):
    """The workload with the n-th call struck, for all n. Returns how many calls that were."""
    clean()
    daemon, model = start(), Model()
    for first in itertools.count(1):
        faults.set(ALL, effect, error, first, first + length - 1)
        work(daemon, model)
        struck = faults.struck
        heal(daemon, model)
        if not struck:
            break
    assert daemon.end(signal.SIGTERM) == 0, daemon.log
    daemon = start()
    model.compare(daemon)
    assert daemon.end(signal.SIGTERM) == 0, daemon.log
    check_audit(BINARY, DIRECTORY, model)
    return first - 1


def struck_for_a_while(calls, error):
    """The workload with all calls of these kinds struck from the n-th on, until it is over. Returns how often."""
    clean()
    daemon, model = start(), Model()
    work(daemon, model)
    for first in itertools.count(1):
        faults.set(calls, FAIL, error, first, ENDLESS)
        work(daemon, model)
        if not faults.struck:
            break
        if calls == ALL:
            refuses_all(daemon, os.strerror(error))
        heal(daemon, model)
    faults.clear()
    assert daemon.end(signal.SIGTERM) == 0, daemon.log
    check_audit(BINARY, DIRECTORY, model)
    return first - 1


def refuses_all(daemon, why):
    """It is said that nothing can be changed, and why."""
    status, headers, answer = daemon.ask("GET", "/healthz")
    assert status == 503 and answer["status"] == "degraded" and headers["Retry-After"], (status, answer)
    assert why in answer["reason"], answer
    status, headers, answer = daemon.ask("POST", "/secret", {"name": "kept", "value": "refused"})
    assert status == 503, (status, answer)
    check_refusal(headers, answer, {"audit_unavailable", "vault_unavailable"})
    assert why in answer["message"], answer


def put_back_the_log():
    """What is to be done when the log was renamed and the daemon could not begin a new one before it ended."""
    if not os.path.exists(AUDIT):
        os.rename(renamed_logs(DIRECTORY)[-1], AUDIT)


def killed_meanwhile(step):
    """The workload on a disk that refuses everything from every step-th call on, and a kill before it works again.
    Returns how often."""
    clean()
    daemon, model = start(), Model()
    for round, first in enumerate(itertools.count(1, step), 1):
        faults.set(ALL, FAIL, errno.EIO, first, ENDLESS)
        work(daemon, model)
        struck = faults.struck
        daemon.end(signal.SIGKILL)
        put_back_the_log()
        if struck:
            # On a disk that takes nothing it does not start, and changes nothing.
            daemon = Daemon(BINARY, DIRECTORY, SHIM)
            assert not daemon.serves() and daemon.process.wait() in (1, 78), daemon.log
            assert "Input/output error" in daemon.log[-1], daemon.log
        faults.clear()
        daemon = start()
        model.compare(daemon, is_after_a_kill=True)
        if not struck:
            break
    assert daemon.end(signal.SIGTERM) == 0, daemon.log
    check_audit(BINARY, DIRECTORY, model)
    return round - 1


def struck_at_the_start(effect, error, length, is_first):
    """A start, the first one or a later one, with the n-th call struck, for all n. Returns how many calls that were."""
    clean()
    daemon, model = start(), Model()
    put(daemon, model, "kept", next(values))
    daemon.end(signal.SIGKILL)
    for first in itertools.count(1):
        if is_first:
            clean()
            model = Model()
        before = None if is_first else contents()
        faults.set(ALL, effect, error, first, first + length - 1)
        daemon = Daemon(BINARY, DIRECTORY, SHIM)
        is_served = daemon.serves()
        struck = faults.struck
        faults.clear()
        if is_served:
            model.compare(daemon)
            put(daemon, model, "kept", next(values))
            daemon.end(signal.SIGKILL)
        else:
            assert daemon.process.wait() in (1, 78) and os.strerror(error) in daemon.log[-1], daemon.log
            assert is_first or contents() == before, "a start that was refused has changed something"
        daemon = start()
        model.compare(daemon)
        daemon.end(signal.SIGKILL)
        check_audit(BINARY, DIRECTORY, model)
        if not struck:
            return first - 1


def contents():
    """What the vault's file and the audit log hold."""
    return [open(path, "rb").read() for path in (VAULT, AUDIT)]


def full_from_the_start_on(calls, error):
    """A start on a disk that is full from the n-th of these calls on, for all n: the daemon starts and heals when there is
    room, or refuses and has changed nothing. Returns how often it started, and how often it refused."""
    clean()
    daemon, model = start(), Model()
    put(daemon, model, "kept", next(values))
    daemon.end(signal.SIGKILL)
    started = refused = 0
    for first in itertools.count(1):
        before = contents()
        faults.set(calls, FAIL, error, first, ENDLESS)
        daemon = Daemon(BINARY, DIRECTORY, SHIM)
        if daemon.serves():
            if not model.read(daemon, "kept"):
                refuses_all(daemon, os.strerror(error))
            put(daemon, model, "kept", next(values))
            struck = faults.struck
            faults.clear()
            model.compare(daemon)
            assert put(daemon, model, "kept", next(values)), daemon.log
            daemon.end(signal.SIGKILL)
            started += 1
        else:
            struck = faults.struck
            assert daemon.process.wait() in (1, 78) and os.strerror(error) in daemon.log[-1], daemon.log
            assert contents() == before, "a start that was refused has changed something"
            faults.clear()
            daemon = start()
            model.compare(daemon)
            daemon.end(signal.SIGKILL)
            refused += 1
        check_audit(BINARY, DIRECTORY, model)
        if not struck:
            return started - 1, refused


def struck_at_the_stop(effect, error, length):
    """A stop with the n-th call struck, for all n. Returns how many calls that were."""
    clean()
    model = Model()
    for first in itertools.count(1):
        daemon = start()
        model.compare(daemon)
        put(daemon, model, "kept", next(values))
        faults.set(ALL, effect, error, first, first + length - 1)
        status = daemon.end(signal.SIGTERM)
        struck = faults.struck
        faults.clear()
        assert status == 0 or status == 1 and os.strerror(error) in daemon.log[-1], (status, daemon.log)
        if not struck:
            check_audit(BINARY, DIRECTORY, model)
            return first - 1


def main():
    for how, way in ONCE.items():
        working, stop = struck_once(*way), struck_at_the_stop(*way)
        first, later = (struck_at_the_start(*way, is_first) for is_first in (True, False))
        counts = f"at {working} calls of a daemon at work, {first} of a first start, {later} of a later one, {stop} of a stop"
        assert working >= 50 and first >= 50 and later >= 15 and stop >= 2, f"too few calls were found: {counts}"
        print(f"{how}: {counts}")
    for error in (errno.ENOSPC, errno.EDQUOT):
        # What a full disk does not take is what is written.
        started, refused = full_from_the_start_on(WRITE, error)
        assert started >= 1 and not refused, f"it does not start on a full disk: {started}, {refused}"
        started, refused = full_from_the_start_on(ALL, error)
        assert started >= 1 and refused >= 5, f"too few calls were found: {started}, {refused}"
        print(f"{os.strerror(error)} at the start: it started {started} times, and refused {refused} times where no call succeeds")
    for how, calls in KINDS.items():
        rounds = struck_for_a_while(calls, errno.EROFS)
        assert rounds >= 5, f"too few calls were found: {rounds}"
        print(f"for a while, no {how}: from each of {rounds} calls on")
    rounds, kills = struck_for_a_while(ALL, errno.EIO), killed_meanwhile(step=3)
    assert rounds >= 50 and kills >= 15, f"too few calls were found: {rounds}, {kills}"
    print(f"for a while, nothing at all: from each of {rounds} calls on, and from {kills} with a kill and a start meanwhile")


main()
