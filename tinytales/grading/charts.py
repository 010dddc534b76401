"""Two pictures as inline SVG: grouped bars and a radar, for grades from 0 to 10.

No drawing package is needed, and the pictures follow the page into dark mode.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

#: Tol's bright scheme: told apart by color-blind eyes too. Voices first, the paper's rows in greys.
COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
GREYS = ("#b9b4ae", "#96918b", "#75706b", "#55514d", "#3d3a37")
TOP = 10.0


def bars(criteria: Sequence[str], rows: Mapping[str, Sequence[float]]) -> str:
    """Bars grouped by criterion; a row's value 0 is drawn as missing."""
    colors = _colors(rows)
    left, width, height, base = 34, 860, 240, 260
    group = width / max(1, len(criteria))
    bar = min(36.0, group * 0.8 / max(1, len(rows)))
    parts = []
    for tick in range(0, 11, 2):
        y = base - height * tick / TOP
        parts.append(
            f'<line class="grid" x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(
            f'<text class="quiet" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>'
        )
    for i, criterion in enumerate(criteria):
        middle = left + group * (i + 0.5)
        start = middle - bar * len(rows) / 2
        for j, (name, values) in enumerate(rows.items()):
            value = min(max(values[i], 0.0), TOP)
            tall = height * value / TOP
            x = start + j * bar
            label = html.escape(f"{name}, {criterion}: {value:.2f}", quote=True)
            if value:
                parts.append(
                    f'<rect x="{x:.1f}" y="{base - tall:.1f}" width="{bar * 0.86:.1f}" '
                    f'height="{tall:.1f}" rx="2" fill="{colors[name]}">'
                    f"<title>{label}</title></rect>"
                )
                if bar >= 26:
                    parts.append(
                        f'<text class="quiet" x="{x + bar * 0.43:.1f}" y="{base - tall - 5:.1f}" '
                        f'text-anchor="middle" style="font-size:11px">{value:.1f}</text>'
                    )
        parts.append(
            f'<text x="{middle:.1f}" y="{base + 20}" text-anchor="middle">'
            f"{html.escape(criterion)}</text>"
        )
    legend, tall_legend = _legend(colors, left, base + 48, width)
    return _svg(
        "Mean grades by criterion", left + width + 10, base + 48 + tall_legend, parts + legend
    )


def radar(criteria: Sequence[str], rows: Mapping[str, Sequence[float]]) -> str:
    """One outline for each row that has all criteria."""
    whole = {name: values for name, values in rows.items() if all(values)}
    colors = {name: color for name, color in _colors(rows).items() if name in whole}
    cx, cy, radius, width = 450.0, 200.0, 150.0, 860

    def point(i: int, value: float) -> tuple[float, float]:
        angle = 2 * math.pi * i / len(criteria) - math.pi / 2
        r = radius * min(max(value, 0.0), TOP) / TOP
        return cx + r * math.cos(angle), cy + r * math.sin(angle)

    parts = []
    for ring in (2, 4, 6, 8, 10):
        corners = " ".join(
            f"{x:.1f},{y:.1f}" for x, y in (point(i, ring) for i in range(len(criteria)))
        )
        parts.append(f'<polygon class="grid" points="{corners}" fill="none"/>')
    for i, criterion in enumerate(criteria):
        x, y = point(i, TOP)
        parts.append(f'<line class="grid" x1="{cx}" y1="{cy}" x2="{x:.1f}" y2="{y:.1f}"/>')
        side = "middle" if abs(x - cx) < 5 else "start" if x > cx else "end"
        dx, dy = (x - cx) * 0.08, (y - cy) * 0.1 + 4
        parts.append(
            f'<text x="{x + dx:.1f}" y="{y + dy:.1f}" text-anchor="{side}">'
            f"{html.escape(criterion)}</text>"
        )
    for name, values in whole.items():
        corners = " ".join(
            f"{x:.1f},{y:.1f}" for x, y in (point(i, v) for i, v in enumerate(values))
        )
        dash = ' stroke-dasharray="6 4"' if _published(name) else ""
        parts.append(
            f'<polygon points="{corners}" fill="{colors[name]}" fill-opacity="0.07" '
            f'stroke="{colors[name]}" stroke-width="2.5"{dash}>'
            f"<title>{html.escape(name)}</title></polygon>"
        )
    legend, tall = _legend(colors, 34, 392, width)
    return _svg("Mean grades as a radar", 904, 392 + tall, parts + legend)


def words(text: str) -> str:
    """A line in place of a picture."""
    return _svg(text, 904, 60, [f'<text x="34" y="35">{html.escape(text)}</text>'])


def _published(name: str) -> bool:
    return name.startswith("paper ") or name.endswith("(2023)")


def _colors(rows: Mapping[str, Sequence[float]]) -> dict[str, str]:
    ours = [name for name in rows if not _published(name)]
    theirs = [name for name in rows if _published(name)]
    return {
        **{name: COLORS[i % len(COLORS)] for i, name in enumerate(ours)},
        **{name: GREYS[i % len(GREYS)] for i, name in enumerate(theirs)},
    }


def _legend(
    colors: Mapping[str, str], left: float, top: float, width: float
) -> tuple[list[str], float]:
    parts, x, y = [], left, top
    for name, color in colors.items():
        needs = 34 + 7.2 * len(name)
        if x + needs > left + width and x > left:
            x, y = left, y + 22
        parts.append(
            f'<rect x="{x:.0f}" y="{y - 11:.0f}" width="13" height="13" rx="3" fill="{color}"/>'
        )
        parts.append(f'<text x="{x + 19:.0f}" y="{y:.0f}">{html.escape(name)}</text>')
        x += needs
    return parts, y - top + 14


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{html.escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{html.escape(title)}</title>'
        + "".join(parts)
        + "</svg>"
    )
