"""Draws the panels of a Grafana dashboard, with data that Prometheus has.

    render.py PROMETHEUS BEGIN INTERVAL DASHBOARD.json PICTURE.png

BEGIN is a Unix time from which on to draw, INTERVAL the seconds between scrapes. Knows of Grafana what the dashboard of
jarvis-secretsd uses: panels of the types stat and timeseries, and the overrides in it. Needs matplotlib.
"""

import itertools
import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402: the backend comes first
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator  # noqa: E402
from PIL import Image  # noqa: E402: matplotlib brings it

BACKGROUND, PANEL, EDGE, TEXT, DIM = "#111217", "#181b1f", "#2c3035", "#d8d9da", "#8e9196"
LINES = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#b877d9", "#33b5a6", "#ff7cbf", "#c7d0d9", "#a8763e", "#8ab8ff",
         "#9aa83a", "#7a63d6", "#e0752d", "#447ebc"]
COLORS = {"green": "#73bf69", "red": "#f2495c", "orange": "#ff9830", "blue": "#5794f2"}
# Of a cell of Grafana's grid, in inches.
WIDTH, HEIGHT = 0.62, 0.34


class Prometheus:
    """Answers a panel's queries, with the dashboard's variables filled in as Grafana does."""

    def __init__(self, url, begin, interval):
        self.url, self.begin, self.interval, self.end = url, begin, interval, time.time()

    def ask(self, expression, instant):
        """The series of an expression: labels, and pairs of time and value."""
        span = int(self.end - self.begin)
        variables = {"$instance": ".*", "$__rate_interval": f"{4 * self.interval}s", "$__range": f"{span}s"}
        for variable, value in variables.items():
            expression = expression.replace(variable, value)
        query = {"query": expression}
        if instant:
            query["time"] = self.end
        else:
            query |= {"start": self.begin, "end": self.end, "step": self.interval}
        path = "query" if instant else "query_range"
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}") as answer:
            result = json.load(answer)["data"]["result"]
        for series in result:
            points = [series["value"]] if instant else series["values"]
            yield series["metric"], [(at, float(value)) for at, value in points]


def with_unit(value, unit, decimals=None):
    """A value as Grafana would write it, about."""
    def number(value):
        return f"{value:.{decimals}f}" if decimals is not None else f"{value:.3g}"

    def scaled(steps):
        size, name = next((step for step in steps if abs(value) >= step[0]), steps[-1])
        return f"{number(value / size)} {name}"

    match unit:
        case "bytes":
            return scaled([(2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")])
        case "s":
            return scaled([(86400, "days"), (3600, "hours"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")])
        case "percentunit":
            return number(value * 100) + "%"
        case "dateTimeFromNow":
            return f"in {(value / 1000 - time.time()) / 86400:.0f} days"
        case "ops" | "reqps" | "cps":
            return number(value) + "/s"
        case _:
            return f"{value:.0f}" if value >= 1000 else number(value)


def named(labels, legend):
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), legend)


def properties(panel, name):
    """What the overrides say of the series of that name."""
    found = {}
    for override in panel["fieldConfig"]["overrides"]:
        matcher = override["matcher"]
        matches = matcher["options"] == name
        if matcher["id"] == "byRegexp":
            matches = re.search(matcher["options"].strip("/"), name)
        if matches:
            found |= {setting["id"]: setting["value"] for setting in override["properties"]}
    return found


def draw_stat(axes, panel, prometheus):
    defaults = panel["fieldConfig"]["defaults"]
    target = panel["targets"][0]
    (_, points), = prometheus.ask(target["expr"], True)
    value = points[-1][1]
    steps = defaults["thresholds"]["steps"]
    color = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
    text = with_unit(value, defaults["unit"], defaults.get("decimals"))
    for mapping in defaults.get("mappings", []):
        text = mapping["options"].get(f"{value:g}", {"text": text})["text"]
    axes.set_axis_off()
    axes.text(0.5, 0.4, text, color=COLORS[color], fontsize=17, ha="center", va="center", transform=axes.transAxes)


def style(axes, unit, decimals, side):
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: with_unit(value, unit)))
    axes.tick_params(colors=DIM, labelsize=7, length=0)
    axes.yaxis.tick_left() if side == "left" else axes.yaxis.tick_right()
    for spine in axes.spines.values():
        spine.set_visible(False)
    if axes.get_yscale() == "linear":
        top = axes.get_ylim()[1]
        binary = MultipleLocator(2 ** max(0, math.ceil(math.log2(top / 4)))) if unit == "bytes" else None
        axes.yaxis.set_major_locator(binary or MaxNLocator(4, integer=decimals == 0))


def draw_timeseries(axes, panel, prometheus):
    defaults = panel["fieldConfig"]["defaults"]
    decimals, right = defaults.get("decimals"), None
    handles, colors = [], itertools.cycle(LINES)
    axes.set_axisbelow(True)
    axes.grid(color=EDGE, linewidth=0.5)
    if "scaleDistribution" in defaults["custom"]:
        axes.set_yscale("log")
    for target in panel["targets"]:
        found = prometheus.ask(target["expr"], False)
        for labels, points in sorted(found, key=lambda series: sorted(series[0].items())):
            name = named(labels, target["legendFormat"])
            own = properties(panel, name)
            color = COLORS[own["color"]["fixedColor"]] if "color" in own else next(colors)
            place = axes
            if own.get("custom.axisPlacement") == "right":
                right = right or axes.twinx()
                place, right_unit = right, own.get("unit", defaults["unit"])
            times, values = zip(*((at - prometheus.begin, value) for at, value in points))
            if own.get("custom.drawStyle") == "bars":
                handle = place.bar(times, values, width=prometheus.interval * 0.7, color=color, alpha=0.8)
            else:
                handle, = place.plot(times, values, color=color, linewidth=1)
                fill = own.get("custom.fillOpacity", defaults["custom"]["fillOpacity"])
                if fill:
                    place.fill_between(times, values, color=color, alpha=fill / 100, linewidth=0)
            handles.append((handle, name))
    for place in filter(None, (axes, right)):
        if place.get_yscale() == "linear":
            place.set_ylim(0, defaults.get("max") or max(place.get_ylim()[1], 1 if decimals == 0 else 0))
    style(axes, defaults["unit"], decimals, "left")
    if right:
        style(right, right_unit, decimals, "right")
    axes.set_xlim(0, prometheus.end - prometheus.begin)
    axes.set_xticks(range(0, int(prometheus.end - prometheus.begin) + 1, 60))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds / 60:.0f} min"))
    columns = 5 if panel["gridPos"]["w"] > 8 else 3
    legend = axes.legend(*zip(*handles), loc="upper left", bbox_to_anchor=(-0.8 / panel["gridPos"]["w"], -0.11),
                         ncols=columns, frameon=False, fontsize=6.5, handlelength=1, columnspacing=1, labelspacing=0.25)
    for text in legend.get_texts():
        text.set_color(TEXT)


def main():
    url, begin, interval, dashboard, picture = sys.argv[1:]
    prometheus = Prometheus(url, int(begin), int(interval))
    with open(dashboard, encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = plt.figure(figsize=(24 * WIDTH, height * HEIGHT), facecolor=BACKGROUND)
    for panel in panels:
        place = panel["gridPos"]
        left, width = place["x"] / 24, place["w"] / 24
        top, tall = 1 - place["y"] / height, place["h"] / height
        frame = plt.Rectangle((left + 0.002, top - tall + 0.002), width - 0.004, tall - 0.004)
        frame.set(facecolor=PANEL, edgecolor=EDGE, linewidth=0.6, zorder=-1)
        figure.add_artist(frame)
        figure.text(left + 0.008, top - 0.007, panel["title"], color=TEXT, fontsize=8.5, weight="bold", va="top")
        if panel["type"] == "stat":
            draw_stat(figure.add_axes((left, top - tall, width, tall)), panel, prometheus)
        else:
            axes = figure.add_axes((left + 0.04, top - tall * 0.72, width - 0.062, tall * 0.57), facecolor=PANEL)
            draw_timeseries(axes, panel, prometheus)
    figure.savefig(picture, dpi=100)
    # Few colors are enough for lines and text, and make the file small.
    Image.open(picture).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    main()
