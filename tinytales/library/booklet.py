"""Stories as pages of HTML: to read on a screen, or as a little book to print on A5.

Every page is one file that stands for itself: the style lies inside, nothing is loaded from
anywhere, and what a story says is never read as markup.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from html import escape

from tinytales.library.tale import Tale


def as_html(tales: Sequence[Tale]) -> str:
    """A page for reading on a screen."""
    body = []
    if len(tales) > 1:
        links = (f'<li><a href="#s{i}">{_html(t.title)}</a></li>' for i, t in enumerate(tales))
        body.append(f"<nav><ul>{''.join(links)}</ul></nav>")
    for i, tale in enumerate(tales):
        body.append(
            f'<article id="s{i}"><h1 dir="auto">{_html(tale.title)}</h1>{_paragraphs(tale)}'
            f'<p class="told">{escape(tale.told_by)}</p></article>'
        )
    return _page(_name(tales), SCREEN_STYLE, "\n".join(body))


def as_booklet(tales: Sequence[Tale]) -> str:
    """A little book: cover, whose book it is, the stories in large type, the colophon."""
    alone = len(tales) == 1
    name = _name(tales)
    days = list(dict.fromkeys(t.day for t in sorted(tales, key=lambda t: t.story.created)))
    subtitle = "A tiny tale" if alone else f"{len(tales)} tiny tales"
    told = f"It was told on {days[0]}."
    if len(days) > 1:
        told = f"They were told from {days[0]} to {days[-1]}."
    elif not alone:
        told = f"They were told on {days[0]}."
    body = [
        f'<section class="cover">{cover(tales)}<div class="plate"><h1 dir="auto">{_html(name)}'
        f"</h1><p>{subtitle}</p></div></section>",
        '<section class="mine"><p>This book belongs to</p><div class="line"></div>'
        f"<p>{escape(told)}</p></section>",
    ]
    if not alone:
        titles = "".join(f'<li dir="auto">{_html(tale.title)}</li>' for tale in tales)
        body.append(f'<section class="contents"><h2>The stories</h2><ol>{titles}</ol></section>')
    for tale in tales:
        heading = "" if alone else f'<h2 dir="auto">{_html(tale.title)}</h2>{STAR}'
        end = '<p class="end">The End</p>' if tale.story.finish in ("end", "length") else STAR
        body.append(f'<section class="story">{heading}{_paragraphs(tale)}{end}</section>')
    colophons = "".join(
        '<div class="facts">'
        + ("" if alone else f'<h3 dir="auto">{_html(tale.title)}</h3>')
        + "<dl>"
        + "".join(f'<dt>{n}</dt><dd dir="auto">{escape(v)}</dd>' for n, v in tale.facts)
        + "</dl></div>"
        for tale in tales
    )
    body.append(
        '<section class="colophon"><h2>How this book was made</h2><p>A very small language model '
        f"told {'it' if alone else 'the stories'}, on a machine at home, without a network.</p>"
        f"{colophons}</section>"
    )
    return _page(name, BOOKLET_STYLE, "\n".join(body))


def cover(tales: Sequence[Tale]) -> str:
    """A night over hills, drawn from the stories: each book has its own sky (inline SVG)."""
    text = "\n".join(tale.story.text for tale in tales)
    draw = random.Random(hashlib.sha256(text.encode("utf-8", "replace")).digest())
    skies = [
        ("#1d2a4d", "#41507f", "#8a7fa3"),
        ("#17343a", "#35605f", "#9aa88a"),
        ("#38264a", "#6b4a74", "#c08a86"),
        ("#20305c", "#3f6291", "#e0a97e"),
    ]
    top, middle, low = draw.choice(skies)
    places = [(draw.uniform(8, 412), draw.uniform(8, 310)) for _ in range(90)]
    stars = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{draw.choice((0.7, 0.9, 1.2, 1.6))}" '
        f'opacity="{draw.uniform(0.5, 1):.2f}"/>'
        for x, y in places
        if not (40 < x < 380 and 165 < y < 290)  # the title stands there
    )
    x, y, r = draw.uniform(80, 340), draw.uniform(60, 110), draw.uniform(22, 34)
    hills = ""
    for base, color in ((420, "#33513f"), (470, "#243c2f"), (520, "#16271f")):
        left, bump, right = (base + draw.uniform(-28, 28) for _ in range(3))
        hills += (
            f'<path d="M0 {left:.0f} C 110 {bump - 60:.0f}, 190 {bump + 40:.0f}, 270 {bump:.0f} '
            f'S 400 {right - 40:.0f}, 420 {right:.0f} V 595 H 0 Z" fill="{color}"/>'
        )
    hx = draw.uniform(60, 330)
    house = (
        f'<g transform="translate({hx:.0f} 478)"><path d="M0 0 L22 -20 L44 0 V30 H0 Z" '
        'fill="#0f1a15"/><rect x="15" y="4" width="13" height="13" rx="1" fill="#ffd98a"/></g>'
    )
    return (
        '<svg viewBox="0 0 420 595" preserveAspectRatio="xMidYMid slice" aria-hidden="true">'
        f'<defs><linearGradient id="sky" x1="0" y1="0" x2="0" y2="1"><stop stop-color="{top}"/>'
        f'<stop offset=".55" stop-color="{middle}"/><stop offset=".8" stop-color="{low}"/>'
        '</linearGradient></defs><rect width="420" height="595" fill="url(#sky)"/>'
        f'<g fill="#fff6dc">{stars}</g><circle cx="{x:.0f}" cy="{y:.0f}" r="{r * 1.5:.0f}" '
        f'fill="#fff3cf" opacity=".12"/><circle cx="{x:.0f}" cy="{y:.0f}" r="{r:.0f}" '
        f'fill="#fff3cf"/>{hills}{house}</svg>'
    )


def _name(tales: Sequence[Tale]) -> str:
    return tales[0].title if len(tales) == 1 else "Tales for Tonight"


def _paragraphs(tale: Tale) -> str:
    return "".join(f'<p dir="auto">{_html(p)}</p>' for p in tale.paragraphs)


def _html(text: str) -> str:
    """`text` as it is set in print: curly quotes, a real ellipsis; nothing of it is markup."""
    text = re.sub(r"(^|[\s(\[“‘—–-])\"", r"\1“", text).replace('"', "”")
    text = re.sub(r"(^|[\s(\[“—–-])'", r"\1‘", text).replace("'", "’")
    return escape(text.replace("...", "…").replace(" -- ", " – "), quote=False)


def _page(title: str, style: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="tinytales">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


STAR = '<p class="star" aria-hidden="true">✶</p>'
_SERIF = '"Iowan Old Style", "Palatino Linotype", Palatino, Georgia, "DejaVu Serif", serif'

SCREEN_STYLE = f"""
:root {{ color-scheme: light dark; --page: #fbf5e9; --ink: #3b2f27; --hush: #7d6c5b; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --page: #191411; --ink: #cdb696; --hush: #87725b; }}
}}
body {{ margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 36rem; background: var(--page);
  color: var(--ink); font: 1.25rem/1.65 {_SERIF}; overflow-wrap: break-word; }}
h1 {{ font-size: 1.9rem; font-weight: 500; line-height: 1.25; margin: 3rem 0 1.5rem; }}
a {{ color: inherit; }}
nav {{ color: var(--hush); }}
p {{ margin: 0 0 1em; }}
.told {{ color: var(--hush); font-size: .9rem; font-style: italic; margin-top: 2rem; }}
"""

BOOKLET_STYLE = f"""
@page {{ size: A5; margin: 19mm 17mm 21mm;
  @bottom-center {{ content: counter(page); font: 10pt {_SERIF}; color: #8a7a68; }} }}
@page cover {{ margin: 0; @bottom-center {{ content: none; }} }}
@page quiet {{ @bottom-center {{ content: none; }} }}
* {{ box-sizing: border-box; }}
html {{ -webkit-print-color-adjust: exact; print-color-adjust: exact; }}
body {{ margin: 0; color: #2f2620; font: 15.5pt/1.62 {_SERIF}; overflow-wrap: break-word;
  hyphens: manual; }}
section {{ break-after: page; }}
section:last-child {{ break-after: auto; }}
h1, h2, h3 {{ font-weight: 500; line-height: 1.2; text-wrap: balance; break-after: avoid; }}

.cover {{ page: cover; position: relative; width: 148mm; height: 209.5mm; overflow: hidden;
  background: #20305c; }}
.cover svg {{ position: absolute; inset: 0; width: 100%; height: 100%; }}
.plate {{ position: absolute; left: 12mm; right: 12mm; top: 62mm; text-align: center;
  color: #fff6dc; }}
.plate h1 {{ font-size: 33pt; margin: 0; }}
.plate p {{ font-size: 14pt; font-style: italic; letter-spacing: .04em; margin: 7mm 0 0; }}

.mine {{ page: quiet; text-align: center; padding-top: 50mm; font-style: italic; }}
.mine .line {{ margin: 15mm auto 22mm; width: 75mm; border-bottom: .3mm solid #8a7a68; }}
.mine p:last-child {{ font-size: 11.5pt; color: #8a7a68; }}

.contents {{ page: quiet; }}
.contents ol {{ padding-left: 9mm; }}
.contents li {{ margin: 0 0 2.5mm; padding-left: 2mm; }}

.story h2 {{ font-size: 24pt; text-align: center; margin: 8mm 0 2mm; }}
.story p {{ margin: 0 0 .8em; orphans: 2; widows: 2; }}
.story > p:first-of-type::first-letter, .story > .star + p::first-letter {{ float: left;
  font-size: 3.25em; line-height: .84; padding: .05em .07em 0 0; color: #93422a; }}
.story > p.star::first-letter {{ float: none; font-size: 1em; padding: 0; }}
.star {{ text-align: center; color: #b9863a; }}
.story .end {{ text-align: center; font-style: italic; color: #93422a; margin-top: 1.6em;
  break-before: avoid; }}

.colophon {{ page: quiet; font-size: 10.5pt; line-height: 1.5; color: #5b4d41; }}
.colophon h2 {{ font-size: 15pt; margin-top: 24mm; }}
.colophon h3 {{ font-size: 11.5pt; margin: 6mm 0 0; }}
.facts {{ break-inside: avoid; }}
dl {{ display: grid; grid-template-columns: 34mm 1fr; gap: 1mm 3mm; margin: 3mm 0; }}
dt {{ color: #8a7a68; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}

@media screen {{
  html {{ background: #d9cfbd; }}
  body {{ padding: 8mm 0; }}
  section {{ width: 148mm; max-width: 100%; min-height: 209.5mm; margin: 0 auto 8mm;
    padding: 19mm 17mm; background: #fffdf7; box-shadow: 0 1mm 5mm #0003; }}
  .cover {{ padding: 0; }}
  .mine {{ padding-top: 70mm; }}
}}
"""
