"""Kills a daemon at each of its calls that change or sync a file, and looks at what is left."""

import os
import shutil
import signal
import sys
import tempfile
from multiprocessing import Pool

import workload
from check import Broken, check
from daemon import Daemon, Died, Place, put_back
from history import History


def killed(binary, library, place, history, life, number, halfway):
    """Whether the daemon was killed before it was done, in its first or its next life."""
    dying = {"LD_PRELOAD": library, "DIE_AT": str(number), "DIE_HALFWAY": str(int(halfway))}
    if life == 2:
        workload.first_life(Daemon(binary, place), place, history)
    daemon = Daemon(binary, place, more=dying)
    try:
        if life == 1:
            workload.first_life(daemon, place, history)
        else:
            workload.next_life(daemon, history, 3)
        return False
    except Died:
        if daemon.process.returncode != -signal.SIGKILL:
            raise
        return True


def one(task):
    """Returns whether it was killed, and what was broken."""
    binary, library, directory, life, number, halfway = task
    where = tempfile.mkdtemp(dir=directory)
    place, history = Place(os.path.join(where, "at")), History()
    try:
        if not killed(binary, library, place, history, life, number, halfway):
            return False, None
        put_back(place)
        check(binary, place, history, history.answered(), history.answered())
    except Broken as why:
        return True, f"life {life}, call {number}{', halfway' * halfway}: {why}"
    finally:
        shutil.rmtree(where)
    return True, None


def main(binary, library, directory):
    broken = []
    with Pool(2) as pool:
        for life in 1, 2:
            for halfway in False, True:
                kills, done = 0, False
                while not done:
                    numbers = range(kills + 1, kills + 17)
                    found = pool.map(one, [(binary, library, directory, life, number, halfway) for number in numbers], 1)
                    done = not all(was_killed for was_killed, _ in found)
                    kills += sum(was_killed for was_killed, _ in found)
                    broken += [why for _, why in found if why]
                what = ["before each of its {} calls", "in the middle of each of its {} writes"][halfway]
                print(f"{['first start', 'second start'][life - 1]}: killed {what.format(kills)}")
    for why in broken:
        print(why, file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
