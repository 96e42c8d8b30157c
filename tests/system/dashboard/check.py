#!/usr/bin/env python3
"""Says what in a dashboard Grafana would pass over or not understand, by Grafana's own description of its dashboards.

    check.py DASHBOARD.json

Needs the package grafana-foundation-sdk. Its classes are made from Grafana's schemas: a key that they do not know is lost
when a dashboard is read into them, and their annotations say what type a value has.
"""

import enum
import json
import sys
import types
import typing

from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard, units

UNITS = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}


def lost(written, known, path):
    """What of `written` is not in `known`, which was read from it."""
    if isinstance(written, dict) and isinstance(known, dict):
        for key, value in written.items():
            if key in known:
                yield from lost(value, known[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: there is no such key"
    elif isinstance(written, list) and isinstance(known, list):
        for number, (one, other) in enumerate(zip(written, known, strict=True)):
            yield from lost(one, other, f"{path}[{number}]")
    elif written != known:
        yield f"{path}: {written!r} is taken for {known!r}"


def mistyped(value, hint, path):
    """Where `value` is not as the annotation `hint` says."""
    if type(value).__module__.startswith(dashboard.__package__) and not isinstance(value, enum.Enum):
        for name, its_hint in typing.get_type_hints(type(value)).items():
            yield from mistyped(getattr(value, name), its_hint, f"{path}.{name}")
        return
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        tries = [list(mistyped(value, one, path)) for one in arguments]
        if all(tries):
            # The one that fits best finds its fault deepest inside.
            yield from max(tries, key=lambda findings: findings[0].split(": ")[0].count("."))
    elif origin is list and isinstance(value, list):
        for number, item in enumerate(value):
            yield from mistyped(item, arguments[0], f"{path}[{number}]")
    elif origin is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from mistyped(item, arguments[1], f"{path}.{key}")
    elif origin is typing.Literal:
        if value not in arguments:
            yield f"{path}: {value!r} is none of {arguments}"
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        if value not in [member.value for member in hint]:
            yield f"{path}: {value!r} is no {hint.__name__}"
    elif isinstance(hint, type) and hint is not object:
        right = isinstance(value, (int, float) if hint is float else hint)
        if not right or (isinstance(value, bool) and hint is not bool):
            yield f"{path}: {value!r} is no {hint.__name__}"
    elif origin in (list, dict):
        yield f"{path}: {value!r} is no {hint}"


def odd_panels(panels):
    """Types of panels and units that Grafana does not bring, and panels that share a number or a place."""
    numbers, places = set(), set()
    # What a closed row shows when it is opened lies below it.
    for panel in [*panels, *(inner for panel in panels for inner in panel.get("panels", []))]:
        if panel["type"] != "row":
            if runtime.panelcfg_config(panel["type"]) is None:
                yield f"{panel['title']}: there is no panel {panel['type']}"
            unit = panel["fieldConfig"]["defaults"]["unit"]
            if unit not in UNITS:
                yield f"{panel['title']}: there is no unit {unit}"
        if panel["id"] in numbers:
            yield f"{panel['title']}: another panel has number {panel['id']}"
        numbers.add(panel["id"])
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        if cells & places or place["x"] + place["w"] > 24:
            yield f"{panel['title']}: lies over another panel, or beyond the edge"
        places |= cells


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        written = json.load(file)
    plugins.register_default_plugins()
    read = dashboard.Dashboard.from_json(written)
    known = json.loads(json.dumps(read, cls=JSONEncoder))
    findings = [*lost(written, known, "$"), *mistyped(read, dashboard.Dashboard, "$"), *odd_panels(written["panels"])]
    for finding in findings:
        print(finding)
    newest = dashboard.Dashboard().schema_version
    if written["schemaVersion"] != newest:
        findings.append(None)
        print(f"$.schemaVersion: {written['schemaVersion']}, but Grafana's is {newest}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
