"""What the appliers have in common: their request, their arguments, the ways to end, a connection, a file put in place.

An applier ends with status 0 (done), 1 (verify only: the value was refused) or 2 (anything else). What it says on standard
error never holds a value.
"""

import contextlib
import fcntl
import grp
import json
import os
import pathlib
import re
import socket
import ssl
import stat
import sys
import traceback

# For each answer of a server; the daemon has a time limit for the whole run.
SECONDS = 10
MAX_REQUEST = 1024 * 1024


class Failed(Exception):
    """The action failed, or its result is unknown."""


class Refused(Exception):
    """The value was tried, and refused."""


def run(actions):
    """Does what the first argument says: calls that one of `actions` with the request and the arguments that follow."""
    program = os.path.basename(sys.argv[0])
    try:
        if len(sys.argv) < 2 or sys.argv[1] not in actions:
            raise Failed(f"usage: {program} {'|'.join(actions)} ARGUMENT...")
        action = sys.argv[1]
        program = f"{program} {action}"
        actions[action](request(action), sys.argv[2:])
    except Refused as why:
        end(1, f"{program}: {why}")
    except Failed as why:
        end(2, f"{program}: {why}")
    except OSError as why:
        end(2, f"{program}: {why.strerror or why}" + (f": {why.filename}" if why.filename else ""))
    except Exception as why:  # What it says may hold a value.
        where = traceback.extract_tb(why.__traceback__)[-1]
        end(2, f"{program}: defect: {type(why).__name__} in {where.filename}, line {where.lineno}")


def end(status, message):
    # It may quote a server, whose words are not for a terminal to obey.
    print("".join(character if character.isprintable() else "?" for character in message), file=sys.stderr)
    sys.exit(status)


def request(action):
    """The request from standard input, if it is one for this action. Keys that are not known are none of its business."""
    text = sys.stdin.buffer.read(MAX_REQUEST + 1)
    if len(text) > MAX_REQUEST:
        raise Failed("the request is too large")
    try:
        found = json.loads(text, object_pairs_hook=once)
    except ValueError:
        raise Failed("the request is not JSON, or not UTF-8, or has a key twice") from None
    if not isinstance(found, dict) or found.get("action") != action:
        raise Failed(f"the request is not one for {action}")
    if not is_text(found.get("name")):
        raise Failed("the request has no name")
    if action == "verify":
        held = {"the request": found}
    else:
        held = {key: found.get(key) for key in ("old", "current" if action == "retire" else "new")}
    for place, version in held.items():
        if not isinstance(version, dict) or not is_text(version.get("value")):
            raise Failed(f"{place} has no value")
    return found


def once(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def is_text(found):
    """Whether it is a string with something in it, and without NUL, which nobody's password may hold."""
    return isinstance(found, str) and found != "" and "\0" not in found


def options(arguments, required=(), optional=()):
    """The arguments, each of which is KEY=VALUE."""
    found = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or key not in (*required, *optional):
            raise Failed(f"unknown argument: {argument}")
        if not value or key in found:
            raise Failed(f"{key}: is empty, or given twice")
        found[key] = value
    missing = [key for key in required if key not in found]
    if missing:
        raise Failed(f"missing: {', '.join(f'{key}=' for key in missing)}")
    return found


def names(value, count):
    """That many names, between commas."""
    found = value.split(",")
    if len(set(found)) != count or not all(re.fullmatch(r"[A-Za-z0-9_.-]{1,63}", name) for name in found):
        raise Failed(f"{value}: must be {count} of A-Z a-z 0-9 _ . -, with commas between them")
    return found


def wrong_value():
    """A password that nobody has. If the server accepts it too, it says nothing about any other password."""
    return os.urandom(16).hex()


def read_password(path):
    """What the file holds, which nobody but its owner may read.

    One of root's may be read by its group, if we are not root: that is how systemd hands over a credential."""
    with open(path, encoding="utf-8") as file:
        found = os.fstat(file.fileno())
        if found.st_uid not in (0, os.geteuid()):
            raise Failed(f"{path}: belongs to user {found.st_uid}; chown it to root, or to the user who runs this")
        is_handed_over = found.st_uid == 0 and os.geteuid() != 0
        if stat.S_IMODE(found.st_mode) & (0o037 if is_handed_over else 0o077):
            raise Failed(f"{path}: others may read it; chmod 600")
        password = file.read(4096).removesuffix("\n")
    if not is_text(password):
        raise Failed(f"{path}: holds no password")
    return password


def connect(host, port):
    """A connection to the host, which is a Unix socket if it begins with a slash."""
    try:
        if not host.startswith("/"):
            return socket.create_connection((host, port), SECONDS)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SECONDS)
        connection.connect(host)
        return connection
    except OSError as why:
        raise Failed(f"no connection to {host}{'' if host.startswith('/') else f':{port}'}: {why.strerror or why}") from None


def tls(connection, host, authorities=None, verified=True):
    """The connection, from now on encrypted to that host."""
    context = ssl.create_default_context(cafile=authorities)
    if not verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=host)


def is_local(host):
    """Whether what is sent there leaves this host."""
    return host.startswith("/") or host in ("localhost", "::1") or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None


@contextlib.contextmanager
def locked(path):
    """Nobody else who asks for it has the directory of that file meanwhile."""
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def put(path, content, mode, group=None):
    """The file has that content from one moment to the next, also after a power cut. The path is to be locked."""
    new = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.jarvis-secretsd-new")
    # Left over from a kill.
    pathlib.Path(new).unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        if group is not None:
            os.fchown(file.fileno(), -1, group)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)
    os.close(directory)


def absolute(path):
    if not path.startswith("/") or path.endswith("/"):
        raise Failed(f"{path}: must be an absolute path of a file")
    return path


def rights(found):
    """The mode and the group of `mode=` and `group=`, each None if it is not there."""
    mode = group = None
    if "mode" in found:
        if not re.fullmatch("0?[0-7]{3}", found["mode"]):
            raise Failed(f"mode={found['mode']}: must be three octal digits, as 640")
        mode = int(found["mode"], 8)
    if "group" in found:
        try:
            group = grp.getgrnam(found["group"]).gr_gid
        except KeyError:
            raise Failed(f"group={found['group']}: no such group") from None
    return mode, group
