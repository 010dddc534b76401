"""Text in the cells of a terminal, where a character may take one, two or none of them."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size


def shorten(text: str, cells: int) -> str:
    """`text` if it fits into `cells`, otherwise its beginning and an ellipsis."""
    if cell_len(text) <= cells:
        return text
    return set_cell_size(text, max(0, cells - 1)).rstrip() + "…"
