"""Cuts the power of a daemon's disk behind each of its calls, in every way, and looks at what is left.

power_cuts.py BINARY LIBRARY DIRECTORY SEED: the library is die.c, the directory an empty one.
"""

import random
import signal
import sys
from multiprocessing import Pool

import workload
from daemon import Died
from recording import Recording

# What a daemon does without which it would break a promise: a sync of this kind of file.
SYNCS = {
    "fdatasync vault.json.": "of the vault",
    "fdatasync audit.jsonl.": "of the audit log",
    "fdatasync vault.json.compacting": "of a compacted vault",
    "fsync master.key.": "of the master key",
    "fsync audit.sign.key.": "of the signing key",
    "fsync directory": "of a directory",
}


# Their audit lines, of which nobody waits for a sync, take more than what a start reads of the log's end.
READS = 120


class Cases:
    """Cases that are examined by two processes, which have them from their parent."""

    def __init__(self, cases, binary, directory):
        self.cases, self.where = cases, (binary, directory)

    def broken(self):
        """What is broken, as it is found."""
        Cases.under_way = self
        with Pool(2) as pool:
            for why in pool.imap_unordered(examine, range(len(self.cases)), 4):
                if why:
                    yield why


def examine(index):
    return Cases.under_way.cases[index].examine(*Cases.under_way.where)


def report(what, count, different, broken):
    """Says what was found. Returns whether nothing is broken."""
    print(f"{what}: {count} states of the disk, {different} different ones, {len(broken)} broken", flush=True)
    for why in broken[:20]:
        print(why, file=sys.stderr)
    return not broken


def cut_at_each_call(binary, directory, seed):
    """Returns what was recorded, and the report of it."""
    recording = Recording(binary, directory)
    workload.first_life(recording.daemon(), recording.place, recording.history, recording.note_moved)
    workload.next_life(recording.daemon(), recording.history, READS)
    count, cases = recording.cases(seed)
    return recording, cases, ("power cuts", count, len(cases), list(Cases(cases, binary, directory).broken()))


def cut_again(binary, directory, seed, cases):
    """A start that recovers from a power cut meets the next one."""
    torn = [case for case in cases if "torn" in case.how or "sectors" in case.how]
    count, again = 0, []
    for case in random.Random(seed).sample(torn, 4):
        recording = Recording(binary, directory, case)
        workload.short_life(recording.daemon(), recording.history)
        more, found = recording.cases(seed)
        count, again = count + more, again + found
    broken = list(Cases(again, binary, directory).broken())
    return "power cuts while a start recovers from one", count, len(again), broken


def cut_long_after_a_kill(task):
    """A daemon that was killed at a call, another one on what that left, and then a power cut; none if the first was done
    before that call. Returns how many states that may leave, how many different ones, and what is broken."""
    binary, library, directory, number, seed = task
    recording = Recording(binary, directory)
    first = recording.daemon(f"LD_PRELOAD={library}", f"DIE_AT={number}")
    try:
        workload.first_life(first, recording.place, recording.history, recording.note_moved)
        return None
    except Died:
        if first.process.returncode != -signal.SIGKILL:
            raise
    workload.short_life(recording.daemon(), recording.history)
    count, cases = recording.cases(seed, only_at_the_end=True)
    broken = [case.examine(binary, directory) for case in cases]
    return count, len(cases), [f"killed at call {number}, {why}" for why in broken if why]


def cut_long_after_each_kill(binary, library, directory, seed):
    count, different, broken, number, is_done = 0, 0, [], 0, False
    with Pool(2) as pool:
        while not is_done:
            tasks = [(binary, library, directory, number + more, seed) for more in range(1, 17)]
            number += len(tasks)
            for found in pool.map(cut_long_after_a_kill, tasks, 1):
                is_done |= found is None
                if found:
                    count, different, broken = count + found[0], different + found[1], broken + found[2]
    return "a power cut long after a kill at each call", count, different, broken


def breaks_without(sync, what, recording, binary, directory, seed):
    """Whether a disk on which that sync does nothing breaks a promise."""
    _, cases = recording.cases(seed, [sync])
    # Where all is lost that may be, it shows soonest.
    cases.sort(key=lambda case: "all or nothing" not in case.how)
    is_broken = any(Cases(cases, binary, directory).broken())
    outcome = "broken, as it must be" if is_broken else "nothing is broken, so all of this shows nothing"
    print(f"without the sync {what}: {outcome}", flush=True)
    return is_broken


def main(binary, library, directory, seed):
    recording, cases, found = cut_at_each_call(binary, directory, seed)
    is_good = report(*found)
    is_good &= report(*cut_again(binary, directory, seed, cases))
    is_good &= report(*cut_long_after_each_kill(binary, library, directory, seed))
    for sync, what in SYNCS.items():
        is_good &= breaks_without(sync, what, recording, binary, directory, seed)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
