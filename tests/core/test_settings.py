"""Settings: kept, explained, and never half right."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytales.errors import SettingsError, TinytalesError
from tinytales.settings import Settings, load, save, settings_path, to_toml


def test_without_a_file_there_are_defaults() -> None:
    assert load() == Settings()
    assert not settings_path().exists()


def test_what_is_saved_is_loaded() -> None:
    chosen = replace(Settings(), theme="bedtime", pace=0, temperature=1, model='C:\\Ä "x"\n\x7f')
    path = save(chosen)
    assert path == settings_path()
    assert load() == chosen
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_every_key_is_explained_beneath_it() -> None:
    lines = to_toml(Settings()).splitlines()
    for setting in fields(Settings):
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{setting.name} = "))
        assert lines[at + 1].startswith("# ")
        assert setting.metadata["says"].split()[0] in lines[at + 1]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives(text: str) -> None:
    assert tomllib.loads(to_toml(Settings(model=text)))["model"] == text


BAD_FILES: dict[str, tuple[str, str]] = {
    "unknown key": ("pase = 3", "unknown setting 'pase'"),
    "a table": ("[theme]\nname = 'day'", "theme is {'name': 'day'}"),
    "wrong kind": ("pace = 'fast'", "pace is 'fast'"),
    "a truth for a number": ("pace = true", "pace is True"),
    "a number for a truth": ("ascii = 1", "ascii is 1"),
    "a fraction for a whole": ("threads = 1.5", "threads is 1.5"),
    "out of range": ("temperature = 99", "temperature is 99"),
    "no number": ("temperature = nan", "temperature is nan"),
    "unknown theme": ("theme = 'bedtim'", "theme is 'bedtim'"),
    "unknown level": ("safety = 'soft'", "safety is 'soft'"),
    "no TOML": ("theme = ", "is not TOML"),
    "garbage": ("\x00\x01\x02", "is not TOML"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_one_clear_error(case: str, tmp_path: Path) -> None:
    content, said = BAD_FILES[case]
    path = tmp_path / "settings.toml"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert said in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_hints_name_the_nearest() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(theme="bedtim")
    assert "bedtime" in caught.value.hint


def test_not_utf8_and_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"theme = '\xff'")
    with pytest.raises(SettingsError, match="is not TOML"):
        load(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path)


def test_a_mark_at_the_beginning_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"\xef\xbb\xbftheme = 'ansi'\r\n")
    assert load(path).theme == "ansi"


def test_saving_keeps_a_file_that_could_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("theme = 'bedtime'\npase = 7")
    save(Settings(), path)
    assert load(path) == Settings()
    assert "pase = 7" in (tmp_path / "settings.toml.broken").read_text()


def test_where_nothing_can_be_written_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(Settings(pace=90), tmp_path / "settings.toml")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(TinytalesError, match="No space left"):
        save(Settings(pace=220), path)
    assert load(path).pace == 90
    assert len(list(tmp_path.iterdir())) == 1


def test_settings_become_sampling() -> None:
    sampling = Settings(temperature=0.5, max_words=80, word_help=False).sampling(seed=7)
    assert (sampling.temperature, sampling.max_words, sampling.seed) == (0.5, 80, 7)
    assert not sampling.word_help
