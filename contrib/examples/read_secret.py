#!/usr/bin/env python3
"""Reads a secret, and reads it again when it has changed.

    read_secret.py NAME [SECONDS]     SECONDS pass between two looks, 60 by default

JARVIS_SECRETSD_ADDR (http://127.0.0.1:8081), JARVIS_SECRETSD_CLIENT and JARVIS_SECRETSD_TOKEN name the
daemon and the client.
"""

import os
import sys
import time

import requests


def printable(text):
    """What an answer says, as a terminal may show it."""
    return "".join(character if " " <= character <= "~" else "?" for character in text)


def use_secret(name, kid, value):
    """What the value is for, as connecting to a database."""
    assert value
    print(f"{name}: {printable(kid)}", flush=True)


def watch(name, seconds):
    address = os.environ.get("JARVIS_SECRETSD_ADDR", "http://127.0.0.1:8081")
    session = requests.Session()
    # Neither a proxy nor a password from ~/.netrc, which would take the place of the token.
    session.trust_env = False
    session.headers["X-Jarvis-Client"] = os.environ["JARVIS_SECRETSD_CLIENT"]
    session.headers["Authorization"] = "Bearer " + os.environ["JARVIS_SECRETSD_TOKEN"]
    while True:
        try:
            answer = session.get(f"{address}/secret/{name}", timeout=10, allow_redirects=False)
        except (requests.ConnectionError, requests.Timeout) as why:
            print(f"{name}: no answer: {type(why).__name__}", file=sys.stderr)
            time.sleep(1)
            continue
        if answer.status_code == 200:
            secret = answer.json()
            session.headers["If-None-Match"] = answer.headers["ETag"]
            use_secret(name, secret["kid"], secret["value"])
        elif answer.status_code in (429, 503):
            print(f"{name}: {printable(answer.text)}", file=sys.stderr)
            time.sleep(int(answer.headers["Retry-After"]))
            continue
        elif answer.status_code != 304:
            sys.exit(f"{name}: {printable(answer.text)}")
        time.sleep(seconds)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: read_secret.py NAME [SECONDS]")
    watch(sys.argv[1], float(sys.argv[2]) if len(sys.argv) == 3 else 60)
