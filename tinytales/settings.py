"""What a family has chosen: a frozen dataclass, kept as TOML in the settings folder.

    settings = load()                        # defaults where there is no file yet
    save(replace(settings, theme="bedtime"))

Each key is explained once, in its field; `save` writes the explanation beneath the key, so that the
file can be edited by hand.
"""

from __future__ import annotations

import contextlib
import math
import textwrap
import tomllib
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytales.errors import SettingsError, TinytalesError, nearest

if TYPE_CHECKING:
    from tinytales.sampling import Sampling

FILE = "settings.toml"
THEMES = ("day", "bedtime", "contrast", "ansi")
SAFETY = ("gentle", "careful", "off")


def _key(
    default: Any,
    says: str,
    *,
    one_of: tuple[str, ...] = (),
    least: float = -math.inf,
    most: float = math.inf,
) -> Any:
    """A setting: its default, what it does, and what it may be."""
    return field(
        default=default, metadata={"says": says, "one_of": one_of, "least": least, "most": most}
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. Made only of possible values.

    Raises:
        SettingsError: a value of the wrong kind or out of its range, with the range.
    """

    theme: str = _key("day", "The look: day, bedtime, contrast or ansi.", one_of=THEMES)
    pace: int = _key(
        160, "Words a minute on the page; 0 shows them as fast as they come.", least=0, most=2000
    )
    animation: bool = _key(True, "Let things glide and words light up softly.")
    ascii: bool = _key(False, "Draw with ASCII only, for terminals without Unicode.")
    plain: bool = _key(False, "Line by line, without boxes: for screen readers.")
    read_aloud: bool = _key(False, "Read each page aloud, where a speech command is installed.")
    safety: str = _key(
        "gentle", "What is not told to a child: gentle, careful (stricter) or off.", one_of=SAFETY
    )
    model: str = _key("", "The folder of the voice (a bundle); empty is the one that came along.")
    threads: int = _key(0, "Threads for telling; 0 lets the engine choose.", least=0, most=1024)
    temperature: float = _key(
        0.8, "How adventurous a story is: 0 is the safest, 1 a wilder one.", least=0, most=5
    )
    top_p: float = _key(
        0.95, "Keep the likeliest tokens up to this share of the probability.", least=0.01, most=1
    )
    min_p: float = _key(
        0.02, "Drop tokens below this share of the likeliest one's probability.", least=0, most=1
    )
    max_words: int = _key(
        0, "End after so many words with a whole sentence; 0 leaves it to the voice.",
        least=0, most=1_000_000,
    )  # fmt: skip
    word_help: bool = _key(True, "Gently raise asked-for words that were not told yet.")
    judge_model: str = _key("gpt-4.1-mini", "The model that grades saved stories.")
    judge_base_url: str = _key(
        "",
        "Where the judge is asked: an OpenAI-compatible address; empty is OpenAI itself. "
        "The key is not kept here: it is read from OPENAI_API_KEY.",
    )

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = _checked(setting, getattr(self, setting.name))
            object.__setattr__(self, setting.name, value)

    def sampling(self, seed: int | None = None) -> Sampling:
        """How stories are told with these settings."""
        from tinytales.sampling import Sampling

        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            min_p=self.min_p,
            max_words=self.max_words,
            word_help=self.word_help,
            seed=seed,
        )


def settings_path() -> Path:
    from tinytales.paths import config_dir

    return config_dir() / FILE


def load(path: str | Path | None = None) -> Settings:
    """Read the settings; defaults where there is no file or a key is missing.

    Raises:
        SettingsError: the file cannot be read, or holds an unknown key or an impossible value.
    """
    path = settings_path() if path is None else Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return Settings()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(
            f"{path} is not TOML: {error}", hint="mend that line, or delete the file"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror}", hint="check its permissions"
        ) from error
    known = [setting.name for setting in fields(Settings)]
    for name in data:
        if name not in known:
            raise SettingsError(f"{path}: unknown setting {name!r}", hint=nearest(name, known))
    try:
        return Settings(**data)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}", hint=error.hint) from error


def save(settings: Settings, path: str | Path | None = None) -> Path:
    """Write all settings, each with its explanation; beside first, then renamed.

    A file that could not be read is not overwritten: it stays beside as settings.toml.broken.

    Raises:
        TinytalesError: the folder or the file cannot be written.
    """
    from tinytales.paths import make, replace_text

    path = settings_path() if path is None else Path(path)
    make(path.parent)
    try:
        load(path)
    except SettingsError:
        with contextlib.suppress(OSError):
            path.replace(path.with_name(path.name + ".broken"))
    try:
        replace_text(path, to_toml(settings))
    except OSError as error:
        raise TinytalesError(
            f"the settings cannot be written to {path}: {error.strerror}",
            hint="the old ones are kept; check the disk and the folder's permissions",
        ) from error
    return path


def to_toml(settings: Settings) -> str:
    """The file that `save` writes."""
    parts = ["# Settings of tinytales. What is deleted here goes back to its default.\n"]
    for setting in fields(settings):
        says = textwrap.fill(
            setting.metadata["says"], 96, initial_indent="# ", subsequent_indent="# "
        )
        value = _toml(getattr(settings, setting.name))
        parts.append(f"{setting.name} = {value}\n{says}\n")
    return "\n".join(parts)


def _checked(setting: Field[Any], value: Any) -> Any:
    """`value` as this setting keeps it, or SettingsError."""
    kind, may = type(setting.default), setting.metadata
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        words = {str: "a text in quotes", bool: "true or false", int: "a whole number"}
        wanted = words.get(kind, "a number")
        raise SettingsError(f"{setting.name} is {value!r}", hint=f"{setting.name} is {wanted}")
    if may["one_of"] and value not in may["one_of"]:
        raise SettingsError(f"{setting.name} is {value!r}", hint=nearest(str(value), may["one_of"]))
    if kind in (int, float) and not may["least"] <= value <= may["most"]:
        raise SettingsError(
            f"{setting.name} is {value}",
            hint=f"choose {setting.name} from {may['least']:g} to {may['most']:g}",
        )
    return value


def _toml(value: str | bool | int | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else _escaped(c) for c in escaped) + '"'
    return repr(value)


def _escaped(character: str) -> str:
    """TOML knows \\uXXXX and \\UXXXXXXXX; lone surrogates (odd file names) it cannot hold."""
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        raise SettingsError(
            "a setting holds a character that no file can hold", hint="use another file name"
        )
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
