"""The four looks of the app: day, bedtime, contrast and ansi.

Colors have names that say what they are for, and every theme names all of them:

    $lit, $lit-text      the word that is being told, softly lit
    $glow                a word that was asked for
    $chosen, $chosen-text  the sentence or row under the cursor
    $chosen-hush         what may be overlooked there
    $hush                what may be overlooked: hints, counts, dates

Day is warm paper; bedtime is candle light: nothing in it is brighter than the words; contrast is
for tired or weak eyes; ansi takes the sixteen colors of the terminal (and, with NO_COLOR, none).
"""

from __future__ import annotations

from typing import Any

from textual.theme import Theme

#: Bedtime stories are told this much slower.
BEDTIME_PACE = 0.75

#: What the command palette says of each.
LOOKS = {
    "day": "Warm paper",
    "bedtime": "Candle light, and slower",
    "contrast": "For tired eyes",
    "ansi": "The colors of this terminal",
}

#: Name of a color -> what it is in day, bedtime, contrast and ansi.
_COLORS: dict[str, tuple[str, str, str, str]] = {
    #               day        bedtime    contrast   ansi
    "page":        ("#fbf5e9", "#191411", "#000000", "ansi_default"),
    "ink":         ("#3b2f27", "#b99f80", "#ffffff", "ansi_default"),
    "hush":        ("#7d6c5b", "#87725b", "#e0e0e0", "ansi_bright_black"),
    "line":        ("#e2d3b8", "#352a21", "#a8a8a8", "ansi_bright_black"),
    "field":       ("#f3e9d6", "#231c17", "#262626", "ansi_default"),
    "lit":         ("#f6dfa6", "#40311f", "#ffff00", "ansi_yellow"),
    "lit-text":    ("#3b2f27", "#d2b48f", "#000000", "ansi_black"),
    "glow":        ("#a0521a", "#d19a55", "#ffff00", "ansi_yellow"),
    "chosen":      ("#ecd9b4", "#35291e", "#ffffff", "ansi_cyan"),
    "chosen-text": ("#3b2f27", "#cbb091", "#000000", "ansi_black"),
    "chosen-hush": ("#7d6c5b", "#87725b", "#505050", "ansi_black"),
    "button":      ("#93422a", "#4a3522", "#ffff00", "ansi_red"),
    "button-text": ("#fdf8ee", "#d2b48f", "#000000", "ansi_bright_white"),
}  # fmt: skip
#: The same of the colors that Textual asks every theme for.
_TEXTUAL: dict[str, tuple[str, str, str, str]] = {
    "panel":       ("#f3e9d6", "#231c17", "#000000", "ansi_default"),
    "primary":     ("#93422a", "#c08552", "#ffff00", "ansi_red"),
    "accent":      ("#8a560f", "#c9944f", "#ffff00", "ansi_yellow"),
    "secondary":   ("#4b6b52", "#8b8a68", "#00ffff", "ansi_green"),
    "success":     ("#4b6b52", "#8b8a68", "#00ff00", "ansi_green"),
    "error":       ("#9b2f33", "#b8695a", "#ff8080", "ansi_red"),
}  # fmt: skip
#: Textual's names for how loud the frame around a story is -> the color of ours that it takes.
_FRAME = {
    "border": "line",
    "border-blurred": "line",
    "scrollbar": "line",
    "scrollbar-hover": "hush",
    "scrollbar-active": "hush",
    "scrollbar-background": "page",
    "scrollbar-background-hover": "page",
    "scrollbar-background-active": "page",
    "scrollbar-corner-color": "page",
    "block-cursor-background": "chosen",
    "block-cursor-foreground": "chosen-text",
    "block-cursor-blurred-background": "chosen",
    "block-cursor-blurred-foreground": "chosen-text",
    "block-hover-background": "field",
    "input-cursor-background": "glow",
    "input-cursor-foreground": "page",
    "input-selection-background": "chosen",
    "input-selection-foreground": "chosen-text",
    "screen-selection-background": "chosen",
    "screen-selection-foreground": "chosen-text",
}


def _theme(column: int, name: str, more: dict[str, str] | None = None, **traits: Any) -> Theme:
    color = {role: colors[column] for role, colors in _COLORS.items()}
    theirs = {role: colors[column] for role, colors in _TEXTUAL.items()}
    frame = {part: color[role] for part, role in _FRAME.items()}
    return Theme(
        name=name,
        **theirs,
        warning=theirs["accent"],
        boost=theirs["panel"],
        foreground=color["ink"],
        background=color["page"],
        surface=color["page"],
        variables=color | frame | {"block-cursor-text-style": "none"} | (more or {}),
        **traits,
    )


_ANSI = {"ansi-background": "ansi_black", "ansi-foreground": "ansi_white"}

THEMES: dict[str, Theme] = {
    theme.name: theme
    for theme in (
        _theme(0, "day", dark=False),
        _theme(1, "bedtime", dark=True),
        _theme(2, "contrast", dark=True, text_alpha=1.0),
        _theme(3, "ansi", _ANSI, ansi=True, luminosity_spread=0.0, text_alpha=1.0),
    )
}
