"""Curves as SVG: axes that are linear or logarithmic, grid, marks, legend. Nothing but text."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 46, 56
COLOURS = {"ours": "#0b62a4", "OVS": "#c8402f", "testpmd": "#8a8a8a"}
SPARE_COLOURS = ("#3a7d34", "#7a4fa0")


def short(value):
    """1000000 as 1M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return "%g%s" % (value / size, letter)
    return "%g" % value


class Axis:
    """From values to places; `begin` and `end` are places."""

    def __init__(self, kind, values, begin, end):
        self.begin, self.end, self.log = begin, end, kind == "log"
        if self.log:
            positive = [value for value in values if value > 0] or [1]
            self.low = math.floor(math.log10(min(positive)))
            self.high = max(self.low + 1, math.ceil(math.log10(max(positive)) - 1e-9))
            self.ticks = [10.0 ** power for power in range(self.low, self.high + 1)]
        else:
            step = self.step(max(values) or 1)
            self.low, self.high = 0.0, step * math.ceil(max(values) / step - 1e-9) or step
            self.ticks = [i * step for i in range(int(round(self.high / step)) + 1)]

    @staticmethod
    def step(largest):
        power = 10.0 ** math.floor(math.log10(largest))
        for part in (0.1, 0.2, 0.25, 0.5, 1, 2):
            if largest / (power * part) <= 8:
                return power * part
        return power * 5

    def place(self, value):
        if self.log:
            value = math.log10(value) if value > 0 else self.low
        share = (value - self.low) / (self.high - self.low)
        return self.begin + min(1.0, max(0.0, share)) * (self.end - self.begin)


def text(x, y, words, anchor="middle", extra=""):
    return '<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>' % (
        x, y, anchor, extra, escape(words))


def grid(x_axis, y_axis):
    lines = []
    for tick in x_axis.ticks:
        x = x_axis.place(tick)
        lines.append('<path class="grid" d="M%.1f %dV%d"/>' % (x, TOP, HEIGHT - BOTTOM))
        lines.append(text(x, HEIGHT - BOTTOM + 18, short(tick)))
    for tick in y_axis.ticks:
        y = y_axis.place(tick)
        lines.append('<path class="grid" d="M%d %.1fH%d"/>' % (LEFT, y, WIDTH - RIGHT))
        lines.append(text(LEFT - 8, y + 4, short(tick), "end"))
    return lines


def curve(points, colour, x_axis, y_axis, dashed):
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in points]
    line = "M" + "L".join("%.1f %.1f" % place for place in places)
    lines = ['<path d="%s" fill="none" stroke="%s" stroke-width="2"%s/>' % (
        line, colour, ' stroke-dasharray="5 4"' if dashed else "")]
    if not dashed:
        for (x, y), (value_x, value_y) in zip(places, points):
            lines.append('<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"><title>%s</title></circle>' % (
                x, y, colour, escape("%s: %.4g" % (short(value_x), value_y))))
    return lines


def draw(title, axes, scales, series):
    """The picture. `series` are [(name, [(x, y)])], `scales` "log" or "linear" for x and y."""
    every = [point for _, points in series for point in points]
    x_axis = Axis(scales[0], [x for x, _ in every], LEFT, WIDTH - RIGHT)
    y_axis = Axis(scales[1], [y for _, y in every], HEIGHT - BOTTOM, TOP)
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">' % (
            WIDTH, HEIGHT, WIDTH, HEIGHT),
        "<style>text{font:13px sans-serif;fill:#222}.grid{stroke:#ddd;stroke-width:1}</style>",
        '<rect width="%d" height="%d" fill="#fff"/>' % (WIDTH, HEIGHT),
        text(LEFT, 24, title, "start", ' font-weight="bold"')]
    lines += grid(x_axis, y_axis)
    lines.append('<path d="M%d %dV%dH%d" fill="none" stroke="#222"/>' % (
        LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT))
    spare = list(SPARE_COLOURS)
    for number, (name, points) in enumerate(series):
        colour = COLOURS.get(name) or spare.pop(0)
        dashed = name == "testpmd"
        lines += curve(points, colour, x_axis, y_axis, dashed)
        x = WIDTH - RIGHT - 110 * (len(series) - number)
        lines.append('<path d="M%d 20h24" stroke="%s" stroke-width="2"%s/>' % (
            x, colour, ' stroke-dasharray="5 4"' if dashed else ""))
        lines.append(text(x + 30, 24, name, "start"))
    lines.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, axes[0]))
    lines.append(text(18, (TOP + HEIGHT - BOTTOM) / 2, axes[1], extra=' transform="rotate(-90 18 %d)"' % (
        (TOP + HEIGHT - BOTTOM) / 2)))
    return "\n".join(lines + ["</svg>"]) + "\n"
