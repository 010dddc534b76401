"""The four looks of the app: day, bedtime, contrast and ansi.

Colors have names that say what they are for, and every theme names all of them:

    $lit, $lit-text      the word that is being told, softly lit
    $glow                a word that was asked for
    $chosen, $chosen-text  the sentence or row under the cursor
    $hush                what may be overlooked: hints, counts, dates

Day is warm paper; bedtime is candle light: nothing in it is brighter than the words; contrast is
for tired or weak eyes; ansi takes the sixteen colors of the terminal (and, with NO_COLOR, none).
"""

from __future__ import annotations

from textual.theme import Theme

#: Bedtime stories are told this much slower.
BEDTIME_PACE = 0.75


def _variables(**colors: str) -> dict[str, str]:
    """Our names, and those of Textual's that decide how loud the frame around a story is."""
    named = {name.replace("_", "-"): color for name, color in colors.items()}
    return named | {
        "border": named["line"],
        "border-blurred": named["line"],
        "scrollbar": named["line"],
        "scrollbar-hover": named["hush"],
        "scrollbar-active": named["hush"],
        "scrollbar-background": named["page"],
        "scrollbar-background-hover": named["page"],
        "scrollbar-background-active": named["page"],
        "scrollbar-corner-color": named["page"],
        "block-cursor-background": named["chosen"],
        "block-cursor-foreground": named["chosen-text"],
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": named["chosen"],
        "block-cursor-blurred-foreground": named["chosen-text"],
        "block-hover-background": named["field"],
        "input-cursor-background": named["glow"],
        "input-cursor-foreground": named["page"],
        "input-selection-background": named["chosen"],
        "input-selection-foreground": named["chosen-text"],
        "screen-selection-background": named["chosen"],
        "screen-selection-foreground": named["chosen-text"],
    }


DAY = Theme(
    name="day",
    dark=False,
    primary="#93422a",
    secondary="#4b6b52",
    accent="#8a560f",
    warning="#8a560f",
    error="#9b2f33",
    success="#4b6b52",
    foreground="#3b2f27",
    background="#fbf5e9",
    surface="#fbf5e9",
    panel="#f3e9d6",
    boost="#f3e9d6",
    variables=_variables(
        page="#fbf5e9",
        ink="#3b2f27",
        field="#f3e9d6",
        line="#e2d3b8",
        hush="#7d6c5b",
        lit="#f6dfa6",
        lit_text="#3b2f27",
        glow="#a0521a",
        chosen="#ecd9b4",
        chosen_text="#3b2f27",
        button="#93422a",
        button_text="#fdf8ee",
    ),
)

BEDTIME = Theme(
    name="bedtime",
    dark=True,
    primary="#c08552",
    secondary="#8b8a68",
    accent="#c9944f",
    warning="#c9944f",
    error="#b8695a",
    success="#8b8a68",
    foreground="#b99f80",
    background="#191411",
    surface="#191411",
    panel="#231c17",
    boost="#231c17",
    variables=_variables(
        page="#191411",
        ink="#b99f80",
        field="#231c17",
        line="#352a21",
        hush="#87725b",
        lit="#40311f",
        lit_text="#d2b48f",
        glow="#d19a55",
        chosen="#35291e",
        chosen_text="#cbb091",
        button="#4a3522",
        button_text="#d2b48f",
    ),
)

CONTRAST = Theme(
    name="contrast",
    dark=True,
    primary="#ffff00",
    secondary="#00ffff",
    accent="#ffff00",
    warning="#ffff00",
    error="#ff8080",
    success="#00ff00",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    boost="#000000",
    text_alpha=1.0,
    variables=_variables(
        page="#000000",
        ink="#ffffff",
        field="#262626",
        line="#a8a8a8",
        hush="#e0e0e0",
        lit="#ffff00",
        lit_text="#000000",
        glow="#ffff00",
        chosen="#ffffff",
        chosen_text="#000000",
        button="#ffff00",
        button_text="#000000",
    ),
)

ANSI = Theme(
    name="ansi",
    ansi=True,
    primary="ansi_red",
    secondary="ansi_green",
    accent="ansi_yellow",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_green",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    luminosity_spread=0.0,
    text_alpha=1.0,
    variables=_variables(
        page="ansi_default",
        ink="ansi_default",
        field="ansi_default",
        line="ansi_bright_black",
        hush="ansi_bright_black",
        lit="ansi_yellow",
        lit_text="ansi_black",
        glow="ansi_yellow",
        chosen="ansi_cyan",
        chosen_text="ansi_black",
        button="ansi_red",
        button_text="ansi_bright_white",
    )
    | {"ansi-background": "ansi_black", "ansi-foreground": "ansi_white"},
)

THEMES: dict[str, Theme] = {theme.name: theme for theme in (DAY, BEDTIME, CONTRAST, ANSI)}
