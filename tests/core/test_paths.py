"""Folders: the platform's, one for all, and clear words where none can be made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tinytales import paths
from tinytales.errors import TinytalesError


@pytest.fixture(autouse=True)
def _no_override() -> Iterator[None]:
    yield
    paths.override(None)


def test_the_platforms_folders_are_apart_and_not_created_by_asking(_no_home: Path) -> None:
    folders = {paths.data_dir(), paths.config_dir(), paths.cache_dir()}
    assert len(folders) == 3
    assert all(_no_home in folder.parents and not folder.exists() for folder in folders)


def test_one_folder_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(paths.ENVIRONMENT, str(tmp_path / "stick"))
    assert paths.data_dir() == paths.config_dir() == tmp_path / "stick"
    paths.override(tmp_path / "flag")  # the flag is stronger than the environment
    assert paths.data_dir() == paths.config_dir() == tmp_path / "flag"
    assert paths.cache_dir() == tmp_path / "flag" / "cache"
    paths.override(None)
    assert paths.data_dir() == tmp_path / "stick"


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = paths.data_dir()
    monkeypatch.setenv(paths.ENVIRONMENT, "  ")
    assert paths.data_dir() == usual


def test_a_relative_folder_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths.override("here")
    monkeypatch.chdir("/")
    assert paths.data_dir() == tmp_path / "here"


def test_make_says_what_stands_in_the_way(tmp_path: Path) -> None:
    assert paths.make(tmp_path / "a" / "b").is_dir()
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(TinytalesError, match="is a file where a folder should be"):
        paths.make(file)
    with pytest.raises(TinytalesError, match="cannot be created"):
        paths.make(file / "below")
    with pytest.raises(TinytalesError, match="cannot be created"):
        paths.make(Path("a\0b"))
