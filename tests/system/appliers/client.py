#!/usr/bin/python3
"""A service that logs in to PostgreSQL anew every 50 ms, with the secret that the daemon serves, or, where that does not answer,
with what it has.

    client.py URL NAME PAUSE

While there is a file PAUSE, the daemon is not asked. The kid of each version is printed once a login with it was successful; the
failed logins, at SIGTERM, with how many there were in all.
"""

import json
import pathlib
import signal
import sys
import time
import urllib.request

import psycopg2

url, name, pause = sys.argv[1:]
request = urllib.request.Request(f"{url}/secret/{name}", headers={"X-Jarvis-Client": "db"})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
running = True


def end(*_):
    global running
    running = False


def fetch():
    """The version that the daemon serves, or none if it does not answer."""
    if pathlib.Path(pause).exists():
        return None
    try:
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)
    except OSError:
        return None


signal.signal(signal.SIGTERM, end)
secret = shown = None
logins, failed, unanswered = 0, [], 0
while running:
    next_look = time.monotonic() + 0.05
    fetched = fetch()
    unanswered += fetched is None
    secret = fetched or secret
    try:
        connection = psycopg2.connect(secret["value"])
        connection.cursor().execute("SELECT 1")
        connection.close()
    except psycopg2.Error as why:
        failed.append(f"{secret['kid']}: {why}".strip())
    else:
        if secret["kid"] != shown:
            shown = secret["kid"]
            print(shown, flush=True)
    logins += 1
    time.sleep(max(0, next_look - time.monotonic()))
for why in failed:
    print(why)
print(f"{logins} logins, {len(failed)} failed, {unanswered} times the daemon was not asked or did not answer", flush=True)
