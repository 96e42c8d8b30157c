"""Draws the panels of a Grafana dashboard as Grafana does in its dark theme, with data that Prometheus has.

    render.py PROMETHEUS BEGIN INTERVAL DASHBOARD.json PICTURE.png

BEGIN is a Unix time from which on to draw, INTERVAL the seconds between scrapes. Knows of Grafana what the dashboard of
jarvis-secretsd uses: panels of the types stat and timeseries, and the overrides in it. Needs matplotlib, and the font Inter to
look as Grafana does.
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
from matplotlib.font_manager import FontProperties, get_font_names  # noqa: E402
from matplotlib.patches import FancyBboxPatch, Rectangle  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter  # noqa: E402
from PIL import Image  # noqa: E402: matplotlib brings it
from units import with_unit  # noqa: E402

CANVAS, PANEL, EDGE, TEXT, DIM, GRID = "#111217", "#181b1f", "#2b2d33", "#ccccdc", "#8e8f9b", "#25272c"
COLORS = {"green": "#73bf69", "red": "#f2495c", "orange": "#ff9830", "blue": "#5794f2", "purple": "#b877d9"}
# "Classic palette": a line has the color of its place among all of the panel.
PALETTE = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0"]
# In pixels: the picture, the room around the panels, between them, and of a row of Grafana's grid.
WIDTH, PADDING, GAP, ROW = 1600, 16, 8, 30
HEADER, TOOLBAR, LEGEND_ROW = 32, 52, 20
DPI = 100


FONT = "Inter" if "Inter" in get_font_names() else "DejaVu Sans"


def font(size, weight=400):
    return FontProperties(family=FONT, size=size * 72 / DPI, weight=weight)


class Page:
    """The whole picture, measured in pixels from its upper left corner."""

    def __init__(self, height):
        self.height = height
        self.figure = plt.figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor=CANVAS)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, WIDTH), ylim=(height, 0))
        self.axes.set_axis_off()

    def text(self, x, y, text, size=12, color=TEXT, weight=400, **place):
        self.axes.text(x, y, text, color=color, fontproperties=font(size, weight), va="center_baseline", **place)

    def box(self, x, y, width, height, **look):
        self.axes.add_patch(FancyBboxPatch((x + 0.5, y + 0.5), width - 1, height - 1,
                                           boxstyle="round,pad=0,rounding_size=2", linewidth=0.72, **look))

    def mark(self, x, y, color):
        """What stands before a line's name in a legend."""
        self.axes.add_patch(Rectangle((x, y - 2), 14, 4, facecolor=color, linewidth=0))

    def width_of(self, text, size, weight=400):
        return self.figure.canvas.get_renderer().get_text_width_height_descent(text, font(size, weight), False)[0]

    def place(self, left, top, right, bottom):
        """That rectangle as matplotlib measures it."""
        return (left / WIDTH, 1 - bottom / self.height, (right - left) / WIDTH, (bottom - top) / self.height)


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


def draw_stat(page, panel, place, prometheus):
    defaults = panel["fieldConfig"]["defaults"]
    (_, points), = prometheus.ask(panel["targets"][0]["expr"], True)
    value = points[-1][1]
    steps = defaults["thresholds"]["steps"]
    color = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
    text = with_unit(value, defaults["unit"], defaults.get("decimals"))
    for mapping in defaults.get("mappings", []):
        text = mapping["options"].get(f"{value:g}", {"text": text})["text"]
    left, top, width, height = place
    # As large as there is room for.
    size = min(52, 20 * (width - 32) / page.width_of(text, 20, 500))
    page.text(left + width / 2, top + HEADER + (height - HEADER) * 0.44, text, size, COLORS[color], 500, ha="center")


def lines(panel, prometheus):
    """The lines of a panel: name, color, what the overrides say of it, its times and values."""
    found = []
    for target in panel["targets"]:
        series = sorted(prometheus.ask(target["expr"], False), key=lambda series: sorted(series[0].items()))
        found += [(named(labels, target["legendFormat"]), points) for labels, points in series]
    used = {}
    for (name, points), color in zip(found, itertools.cycle(PALETTE)):
        own = properties(panel, name)
        color = COLORS[own["color"]["fixedColor"]] if "color" in own else color
        if color in used:
            sys.exit(f"{panel['title']}: {used[color]} and {name} have the same color")
        used[color] = name
        yield name, color, own, *zip(*points)


def steps(top, height, unit, decimals):
    """The values at which a linear axis from 0 to about `top` has its labels, the last one above that."""
    least = top * 36 / height
    if unit == "bytes":
        step = 2.0 ** math.ceil(math.log2(least))
    else:
        power = 10.0 ** math.floor(math.log10(least))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least)
    if decimals == 0:
        step = max(1, math.ceil(step))
    return [step * number for number in range(math.ceil(top / step - 1e-9) + 1)]


def scale(axes, height, unit, defaults):
    """Gives the vertical axis its range and labels."""
    decimals, top = defaults.get("decimals"), axes.dataLim.ymax
    if "scaleDistribution" in defaults["custom"]:
        low, high = math.floor(math.log10(axes.dataLim.minposy)), math.ceil(math.log10(top))
        ticks = [10.0**power for power in range(low, high + 1)]
        axes.set(yscale="log", ylim=(ticks[0], ticks[-1]))
    else:
        top = defaults.get("max") or top * 1.05 or 1
        ticks = steps(top, height, unit, decimals)
        axes.set_ylim(0, ticks[-1] if defaults.get("max") is None else top)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: with_unit(value, unit)))
    return [with_unit(tick, unit) for tick in ticks]


def draw_legend(page, entries, left, right, bottom):
    """Writes names behind marks, in as many rows as they need. Returns where the first one begins."""
    rows, x = [[]], left
    for name, color in entries:
        width = 14 + 6 + page.width_of(name, 12) + 16
        if rows[-1] and x + width - 16 > right:
            rows.append([])
            x = left
        rows[-1].append((x, name, color))
        x += width
    top = bottom - LEGEND_ROW * len(rows)
    for number, row in enumerate(rows):
        y = top + LEGEND_ROW * (number + 0.5)
        for x, name, color in row:
            page.mark(x, y, color)
            page.text(x + 20, y, name)
    return top


def draw_timeseries(page, panel, place, prometheus):
    defaults = panel["fieldConfig"]["defaults"]
    left, top, width, height = place
    drawn = list(lines(panel, prometheus))
    bottom = draw_legend(page, [line[:2] for line in drawn], left + 14, left + width - 10, top + height - 6)
    top, bottom = top + HEADER + 12, bottom - 30
    axes = page.figure.add_axes((0, 0, 1, 1), facecolor="none")
    right, right_unit = None, None
    for _, color, own, times, values in drawn:
        on = axes
        if own.get("custom.axisPlacement") == "right":
            right = right or axes.twinx()
            on, right_unit = right, own.get("unit", defaults["unit"])
        times = [at - prometheus.begin for at in times]
        if own.get("custom.drawStyle") == "bars":
            on.bar(times, values, width=prometheus.interval * 0.6, color=color, alpha=0.1)
            on.bar(times, values, width=prometheus.interval * 0.6, fill=False, edgecolor=color, linewidth=0.72)
            continue
        on.plot(times, values, color=color, linewidth=0.9, solid_joinstyle="round")
        fill = own.get("custom.fillOpacity", defaults["custom"]["fillOpacity"])
        if fill:
            on.fill_between(times, values, color=color, alpha=fill / 100, linewidth=0)
    margins = [0, 0]
    for side, (on, unit) in enumerate([(axes, defaults["unit"]), (right, right_unit)]):
        if on is None:
            continue
        labels = scale(on, bottom - top, unit, defaults)
        margins[side] = max(page.width_of(label, 12) for label in labels) + 10
        on.tick_params(labelcolor=TEXT, length=0, pad=6)
        for spine in on.spines.values():
            spine.set_visible(False)
    span = prometheus.end - prometheus.begin
    for on in filter(None, (axes, right)):
        on.set_position(page.place(left + 10 + margins[0], top, left + width - 18 - margins[1], bottom))
        on.set_xlim(0, span)
    apart = next(step for step in (60, 120, 300, 600) if step * (width - 30 - sum(margins)) / span >= 56)
    first = -prometheus.begin % apart
    axes.xaxis.set_major_locator(FixedLocator(range(int(first), int(span) + 1, apart)))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda at, _: time.strftime("%H:%M", time.gmtime(prometheus.begin + at + 0.5))))
    axes.grid(color=GRID, linewidth=0.72)
    axes.set_axisbelow(True)
    for label in itertools.chain(*(on.get_xticklabels() + on.get_yticklabels() for on in filter(None, (axes, right)))):
        label.set_fontproperties(font(12))


def draw_toolbar(page, prometheus):
    """The dashboard's variables on the left, the time that is shown on the right."""
    x, y, height = PADDING, 10, 32
    for label, value in [("Data source", "Prometheus"), ("Instance", "All")]:
        wide, narrow = page.width_of(label, 12, 500) + 16, page.width_of(value, 14) + 20
        page.box(x, y, wide, height, facecolor=PANEL, edgecolor=PANEL)
        page.text(x + 8, y + height / 2, label, 12, TEXT, 500)
        page.box(x + wide, y, narrow, height, facecolor=CANVAS, edgecolor="#3c3e45")
        page.text(x + wide + 10, y + height / 2, value, 14)
        x += wide + narrow + GAP
    span = f"Last {round((prometheus.end - prometheus.begin) / 60)} minutes"
    width = page.width_of(span, 14, 500) + 24
    page.box(WIDTH - PADDING - width, y, width, height, facecolor=PANEL, edgecolor="#3c3e45")
    page.text(WIDTH - PADDING - width / 2, y + height / 2, span, 14, TEXT, 500, ha="center")


def shrink(picture):
    """Makes the file small: few colors are enough for lines and text. None of a line is left out, however short that is."""
    drawn = Image.open(picture).convert("RGB")
    colors = {*COLORS.values(), *PALETTE}
    width, height = drawn.size
    sampled = Image.new("RGB", (width, height + 40), CANVAS)
    sampled.paste(drawn)
    for number, color in enumerate(colors):
        sampled.paste(color, (number * 100, height, (number + 1) * 100, height + 40))
    few = sampled.quantize(256, dither=Image.Dither.NONE)
    few.crop((0, 0, width, height)).save(picture, optimize=True)


def main():
    url, begin, interval, dashboard, picture = sys.argv[1:]
    prometheus = Prometheus(url, int(begin), int(interval))
    with open(dashboard, encoding="utf-8") as file:
        # A row is closed at first, and not in the picture.
        panels = [panel for panel in json.load(file)["panels"] if panel["type"] != "row"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    page = Page(TOOLBAR + rows * (ROW + GAP) - GAP + PADDING)
    draw_toolbar(page, prometheus)
    column = (WIDTH - 2 * PADDING - 23 * GAP) / 24
    for panel in panels:
        grid = panel["gridPos"]
        left, top = round(PADDING + grid["x"] * (column + GAP)), TOOLBAR + grid["y"] * (ROW + GAP)
        width = round(grid["w"] * (column + GAP) - GAP)
        height = grid["h"] * (ROW + GAP) - GAP
        page.box(left, top, width, height, facecolor=PANEL, edgecolor=EDGE)
        page.text(left + 10, top + HEADER / 2 + 1, panel["title"], 14, TEXT, 500)
        if page.width_of(panel["title"], 14, 500) > width - 20:
            sys.exit(f"{panel['title']}: the title is wider than the panel")
        draw = draw_stat if panel["type"] == "stat" else draw_timeseries
        draw(page, panel, (left, top, width, height), prometheus)
    page.figure.savefig(picture, dpi=DPI, facecolor=CANVAS)
    shrink(picture)


if __name__ == "__main__":
    main()
