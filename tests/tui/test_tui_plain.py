"""Plain mode, the command and the browser's door."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys

import pytest

from tinytales.library import FILE, Library
from tinytales.sampling import Sampling
from tinytales.tui.plain import PlainApp
from tinytales.tui.rehearsal import Rehearsal, originals


@pytest.fixture
def say(tmp_path):
    """Says lines to the plain app; what it answers. Every call is a new evening."""
    library = Library(tmp_path / FILE)

    def evening(*lines: str, teller: Rehearsal | None = None, kept: bool = True) -> list[str]:
        seeds, out = itertools.count(3), io.StringIO()
        app = PlainApp(
            teller or Rehearsal(),
            library if kept else None,
            lambda: Sampling(seed=next(seeds)),
            out=out,
            read=io.StringIO("".join(line + "\n" for line in lines)),
        )
        app.run()
        return out.getvalue().splitlines()

    evening.library = library
    yield evening
    library.close()


def test_enter_tells_a_sentence_a_line(say):
    heard = say("")
    assert heard[0].startswith("tinytales.") and heard[-1] == "The end."
    assert " ".join(heard[1:-1]) == originals()[3].replace("\n", " ")
    assert heard[1] == "The zoo had a little green train called Kemi."
    assert all(line == line.strip() and line for line in heard)


def test_a_line_begins_a_story_even_if_it_begins_like_a_command(say):
    heard = say("Read me the stars, said the fox.", "more than one fox came", "quit now, he said")
    assert "Read me the stars, said the fox." in heard
    assert any(line.startswith("more than one fox came") for line in heard)
    assert any(line.startswith("quit now, he said") for line in heard)


def test_an_evening(say, tmp_path):
    target = tmp_path / "story.md"
    heard = say("words turtle, blanket", "again", "more", "keep", "list", "find turtle", "read 1",
                f"export {target}", "quit", "never heard")  # fmt: skip
    text = "\n".join(heard)
    assert heard[-1] == "Good night." and "is a favorite now." in text
    assert "1. " in text and "2. " in text and ", a favorite" in text
    assert "turtle" in target.read_text()
    assert say.library.count() == 3
    assert len(say.library.tellings(say.library.resolve("last"))) >= 1


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("again", "The end."),  # nothing was told: a story without wishes
        ("more", "No story was told yet"),
        ("keep", "No story was told yet"),
        ("read 7", "There is no such number"),
        ("read 99999999999999999999", "There is no such number"),
        ("find nothing-like-this", "No story."),
        ("words a b c d e f", "is not one word"),
        ("export story.docx", "does not say as what"),
        ("help", "good night"),
    ],
)
def test_answers(say, line, answer):
    assert answer in "\n".join(say(line))


def test_without_a_library_it_tells(say):
    assert say("", kept=False)[-1] == "The end."
    assert "cannot be opened" in "\n".join(say("list", kept=False))


def test_ctrl_c_stops_the_story_and_not_the_evening(say):
    class Interrupted(Rehearsal):
        def stream(self, prompt=None, sampling=None):
            telling = super().stream(prompt, sampling)
            pieces = iter(telling)

            class Telling:
                story = property(lambda _: telling.story)
                cancel = staticmethod(telling.cancel)
                calls = 0

                def __iter__(self):
                    return self

                def __next__(self):
                    Telling.calls += 1
                    if Telling.calls == 3:
                        raise KeyboardInterrupt
                    return next(pieces)

            return Telling()

    heard = say("", "list", teller=Interrupted())
    assert "Stopped." in heard and any(line.startswith("1. ") for line in heard)


def test_the_command_in_a_pipe_is_plain(tiny_bundle, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tinytales", "app", "--model", str(tiny_bundle), "--seed", "1",
         "--data-dir", str(tmp_path / "d")],
        input="One day\nlist\nquit\n", capture_output=True, text=True, timeout=60,
        env=os.environ | {"TINYTALES_DATA_DIR": ""}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Good night.\n") and "\x1b" not in done.stdout
    assert (tmp_path / "d" / FILE).exists()


@pytest.mark.parametrize(
    ("variables", "unicode"),
    [
        ({"LC_ALL": "C"}, False),
        ({"LANG": "de_DE.UTF-8"}, True),
        ({"LC_ALL": "C.utf8", "LANG": "C"}, True),
        ({"LANG": "en_US.ISO-8859-1"}, False),
        ({}, True),
        ({"TERM": "linux"}, False),
    ],
)
def test_unicode_is_what_the_locale_says(monkeypatch, variables, unicode):
    from tinytales.cli.app import speaks_unicode

    for name in ("LC_ALL", "LC_CTYPE", "LANG", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert speaks_unicode() is unicode


def test_an_unknown_look_is_refused(monkeypatch):
    from tinytales.cli import app as module
    from tinytales.errors import UsageError

    monkeypatch.setattr(module, "draws", lambda: True)
    with pytest.raises(UsageError, match="bedtme") as caught:
        module.run_app(theme="bedtme")
    assert "bedtime" in caught.value.hint


async def test_the_browser_door_answers_its_own_page_only():
    pytest.importorskip("textual_serve")
    from aiohttp.test_utils import make_mocked_request
    from aiohttp.web import HTTPForbidden, Response

    from tinytales.tui.browser import make_server

    app = await make_server("true", 8765)._make_app()
    (guard,) = app.middlewares

    async def page(_request):
        return Response(text="the book")

    async def ask(**headers: str) -> str:
        try:
            named = {name.title(): value for name, value in headers.items()}
            return (await guard(make_mocked_request("GET", "/ws", headers=named), page)).text
        except HTTPForbidden:
            return "refused"

    assert await ask(host="127.0.0.1:8765") == "the book"
    assert await ask(host="localhost:8765", origin="http://localhost:8765") == "the book"
    assert await ask(host="127.0.0.1:8765", origin="http://evil.example") == "refused"
    assert await ask(host="evil.example:8765") == "refused"
    assert await ask(host="127.0.0.1:9999") == "refused"


def test_the_browser_page_needs_nothing_from_outside():
    from importlib import resources

    page = resources.files("tinytales.tui").joinpath("app_index.html").read_text()
    assert "http" not in page.replace("{{", "")
