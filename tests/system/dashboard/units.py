"""Values as Grafana writes them: the units that the dashboard of jarvis-secretsd uses."""

import time

RATES = {"ops": "ops/s", "reqps": "req/s", "cps": "c/s"}
BYTES = [(2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")]
SECONDS = [(86400, "days"), (3600, "hours"), (60, "mins"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")]
COUNTS = [(1e6, "Mil"), (1e3, "K"), (1, "")]


def with_unit(value, unit, decimals=None):
    """`value` with its unit; with so many digits behind the point, or as many as it needs, at most two."""

    def number(value):
        return f"{value:.{decimals}f}" if decimals is not None else f"{value:.2f}".rstrip("0").rstrip(".")

    def scaled(steps):
        size, name = next((step for step in steps if abs(value) >= step[0]), steps[-1])
        return f"{number(value / size)} {name}".strip()

    match unit:
        case "bytes":
            return scaled(BYTES)
        case "s":
            return scaled(SECONDS)
        case "percentunit":
            return number(value * 100) + "%"
        case "dateTimeFromNow":
            return from_now(value / 1000)
        case _ if unit in RATES:
            return f"{number(value)} {RATES[unit]}"
        case _:
            return scaled(COUNTS)


def from_now(moment):
    """How far away a moment is that is still to come, in the words of moment.js."""
    hours = (moment - time.time()) / 3600
    days = hours / 24
    for limit, count, one, many in [(22, hours, "an hour", "hours"), (26 * 24, days, "a day", "days"),
                                    (320 * 24, days / 30.4, "a month", "months")]:
        if hours < limit:
            return f"in {one}" if round(count) <= 1 else f"in {round(count)} {many}"
    years = round(days / 365)
    return "in a year" if years <= 1 else f"in {years} years"
