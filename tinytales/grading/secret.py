"""A key, and how it is kept out of what others say.

    secret = Secret("sk-…")
    secret.hide("Incorrect API key provided: sk-…")      # "Incorrect API key provided: [key]"

A server, a proxy or a model may repeat the key: as it is, URL-encoded, in base64 (of the key alone
or of something longer that holds it, like a whole header), in hex, or its first half where a
message was cut. Everything that comes from the wire goes through `hide` before it is shown, stored
or cut.
"""

from __future__ import annotations

import base64
import os
import re
from urllib.parse import quote

from tinytales.errors import UsageError

KEY = "OPENAI_API_KEY"
#: A shorter run of characters may be a word of a story.
SHORTEST = 6


def refuse_key(text: str) -> None:
    """Names and addresses are shown and stored: a key must not stand in their place.

    Raises:
        UsageError: `text` holds the key in use, or looks like one.
    """
    key = os.environ.get(KEY, "").strip()
    if (len(key) >= SHORTEST and key in text) or re.search(r"sk-[\w-]{17}", text):
        raise UsageError(
            "that looks like a key, not like a judge's name or address",
            hint=f"a key belongs into {KEY} or the system's keyring",
        )


class Secret:
    """Knows the forms of one key. Its own text never shows it."""

    def __init__(self, key: str) -> None:
        self.key = key
        found = sorted({form for form in _forms(key) if len(form) >= SHORTEST}, key=len)
        forms = [re.escape(form) for form in reversed(found)]
        if forms:
            forms.append(_beginning(key))
        self._pattern = re.compile("|".join(forms), re.IGNORECASE) if forms else None

    def __repr__(self) -> str:
        return "Secret([key])"

    def hide(self, text: str) -> str:
        """`text` with `[key]` wherever the key stands in it, in any of its forms."""
        return self._pattern.sub("[key]", text) if self._pattern else text


def _forms(key: str) -> list[str]:
    raw = key.encode("utf-8", "surrogateescape")
    forms = [key, quote(key, safe=""), quote(key), raw.hex()]
    forms.append("".join(f"%{byte:02x}" for byte in raw))
    # In base64 three bytes become four characters: inside a longer text the key looks different
    # after 0, 1 or 2 bytes. Characters that also depend on its neighbors are left out.
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        start = -(-before * 8 // 6)
        whole = (before + len(raw)) * 8 // 6
        inner = encoded[start:whole]
        forms += [inner, inner.replace("+", "-").replace("/", "_")]
    return forms


def _beginning(key: str) -> str:
    """A pattern for the first half of the key and what follows of it: a message that was cut."""
    half = max(SHORTEST, len(key) // 2)
    rest = "".join(f"(?:{re.escape(character)}" for character in key[half:])
    return re.escape(key[:half]) + rest + ")?" * (len(key) - half)
