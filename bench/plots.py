"""Plots as SVG, for documents: lines over axes that count by powers of ten, readable on light and on dark paper."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 84, 190, 44, 56
COLOURS = ("#2563a8", "#b4541a", "#3b7d3a", "#7a4fa3", "#6b6b6b", "#a8324a")
STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #222 }
    .title { font-size: 15px; font-weight: 600 }
    .grid { stroke: #8884; stroke-width: 1 }
    .axis { stroke: #888; stroke-width: 1 }
    .line { fill: none; stroke-width: 2 }
    @media (prefers-color-scheme: dark) { text { fill: #ddd } }
"""


@dataclass(frozen=True, slots=True)
class Line:
    """Pairs of numbers above zero."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False
    """Measured: dots, and no line between them."""
    like: int | None = None
    """The number of the line whose colour it has."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What is counted, and how numbers are written there."""

    title: str
    unit: str = ""
    powers: bool = True
    """By powers of ten; else evenly from zero."""


def short(value: float) -> str:
    """A number with at most three digits, and thousands as letters."""
    for size, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    begin: float
    end: float
    powers: bool

    def at(self, value: float) -> float:
        low, high, value = (math.log10(each) if self.powers else each for each in (self.low, self.high, value))
        return self.begin + (value - low) / (high - low) * (self.end - self.begin)

    def marks(self) -> list[float]:
        if self.powers:
            return [10.0**power for power in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)]
        return [self.low + (self.high - self.low) * each / 5 for each in range(6)]


def _scale(values: Sequence[float], axis: Axis, begin: float, end: float) -> _Scale:
    if axis.powers:
        low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
        return _Scale(low, high if high > low else low * 10, begin, end, True)
    return _Scale(0, max(values), begin, end, False)


def plot(title: str, across: Axis, up: Axis, lines: Sequence[Line]) -> str:
    """The picture."""
    x = _scale([px for line in lines for px, _ in line.points], across, LEFT, WIDTH - RIGHT)
    y = _scale([py for line in lines for _, py in line.points], up, HEIGHT - BOTTOM, TOP)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"  <title>{escape(title)}</title>",
        f"  <style>{STYLE}  </style>",
        f'  <text class="title" x="{LEFT}" y="22">{escape(title)}</text>',
    ]
    for mark in x.marks():
        at = f"{x.at(mark):.1f}"
        drawn.append(f'  <line class="grid" x1="{at}" y1="{TOP}" x2="{at}" y2="{HEIGHT - BOTTOM}"/>')
        told = escape(short(mark) + across.unit)
        drawn.append(f'  <text x="{at}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{told}</text>')
    for mark in y.marks():
        at = f"{y.at(mark):.1f}"
        drawn.append(f'  <line class="grid" x1="{LEFT}" y1="{at}" x2="{WIDTH - RIGHT}" y2="{at}"/>')
        told = escape(short(mark) + up.unit)
        drawn.append(f'  <text x="{LEFT - 8}" y="{float(at) + 4:.1f}" text-anchor="end">{told}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    drawn.append(f'  <text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">{escape(across.title)}</text>')
    turned = f"translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"
    drawn.append(f'  <text transform="{turned}" text-anchor="middle">{escape(up.title)}</text>')
    for number, line in enumerate(lines):
        drawn += _drawn(line, number, x, y)
    return "\n".join([*drawn, "</svg>", ""])


def _drawn(line: Line, number: int, x: _Scale, y: _Scale) -> list[str]:
    colour = COLOURS[(number if line.like is None else line.like) % len(COLOURS)]
    places = [(x.at(px), y.at(py)) for px, py in line.points]
    key = TOP + 10 + number * 22
    told = [f'  <text x="{WIDTH - RIGHT + 34}" y="{key + 4}">{escape(line.name)}</text>']
    if line.dots:
        spots = [*places, (WIDTH - RIGHT + 20, key)]
        return told + [f'  <circle cx="{px:.1f}" cy="{py:.1f}" r="4.5" fill="{colour}"/>' for px, py in spots]
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
    sample = f"{WIDTH - RIGHT + 10},{key} {WIDTH - RIGHT + 28},{key}"
    return told + [f'  <polyline class="line" stroke="{colour}" points="{each}"/>' for each in (path, sample)]
