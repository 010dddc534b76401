"""`tinytales grade` on the command line: consent, cost, output, files, exit codes."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import OWN
from judge_server import JudgeServer

from tinytales.cli.main import run
from tinytales.grading import Desk, rubric
from tinytales.library import Library
from tinytales.story import Story

Tales = Callable[..., list[Story]]
Read = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path, tales: Tales) -> str:
    path = tmp_path / "stories.jsonl"
    path.write_text("".join(json.dumps(s.to_dict()) + "\n" for s in tales(3, "voice")))
    return str(path)


def test_nothing_is_sent_without_consent(
    file: str, capsys: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets are blocked here: a byte that left would fail the test."""
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115, PTH123
    assert run(["grade", file]) == 2
    said = capsys.readouterr()
    assert "3 stories" in said.err and "api.openai.com" in said.err and "$0.00" in said.err
    assert "--yes" in said.err and said.out == ""


def test_a_dry_run_tells_and_sends_nothing(file: str, capsys: Read) -> None:
    assert run(["grade", file, "--judge", "gpt-4o", "--dry-run", "--repeats", "10"]) == 0
    said = capsys.readouterr().err
    assert "gpt-4o at api.openai.com" in said and "60 questions" in said
    assert "counting characters" in said


def test_no_before_consent_is_no(file: str, capsys: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return "n\n"

    monkeypatch.setattr("sys.stdin", Terminal())
    assert run(["grade", file]) == 0
    assert "Nothing was sent" in capsys.readouterr().err


def test_all_commands_that_ask_a_judge_take_the_same_options(capsys: Read) -> None:
    from dataclasses import fields

    from tinytales.cli.grade import app
    from tinytales.cli.grade_options import Asking

    shared = {field.name for field in fields(Asking)}
    for command in app.registered_commands:
        assert command.callback is not None
        taken = set(inspect.signature(command.callback).parameters)
        asks = command.callback.__name__ in ("stories", "suite", "duel")
        assert taken >= shared if asks else not {"yes", "judge", "rpm"} <= taken
    assert run(["grade", "duel", "--help"]) == 0
    assert "--max-cost" in capsys.readouterr().out


def test_every_call_in_the_docs_is_a_possible_one() -> None:
    import shlex

    from typer.main import get_command

    from tinytales.cli.grade import app

    page = (Path(__file__).parents[2] / "docs" / "grading.md").read_text(encoding="utf-8")
    calls = re.findall(r"^tinytales grade (.+)$", page.split("```")[1], re.MULTILINE)
    assert len(calls) >= 8
    group = get_command(app)
    for call in calls:
        words = shlex.split(call, comments=True)
        name = words.pop(0) if words[0] in group.commands else "stories"  # type: ignore[attr-defined]
        group.commands[name].make_context(name, words)  # type: ignore[attr-defined]


def test_openai_is_not_imported_before_consent(file: str) -> None:
    script = (
        "import sys; from tinytales.cli.main import run; run(['grade', sys.argv[1], '--dry-run'])\n"
        "print([m for m in ('openai', 'httpx', 'torch', 'textual') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, file], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--max-cost", "0.0001"], 1, "more than --max-cost"),
        (["--judge", "unheard-of", "--max-cost", "1"], 2, "needs a price"),
        (["--rubric", "nice"], 2, "no rubric"),
        (["--rubric", "duel"], 2, "grade duel"),
        (["--base-url", "http://me:pw@host/v1"], 2, "user, a password"),
        (["--yes"], 1, "no key"),
        (["--report", "x.html", "--offline"], 2, "no scores to report"),
        (["--report", "x.pdf", "--yes"], 2, "a report is .html, .htm, .md, .svg, not x.pdf"),
        (["--nonsense"], 2, "nonsense"),
    ],
)
def test_bad_calls(file: str, options: list[str], code: int, says: str, capsys: Read) -> None:
    assert run(["grade", file, *options]) == code
    assert says in capsys.readouterr().err


@pytest.mark.allow_loopback
def test_a_whole_grading(file: str, server: JudgeServer, tmp_path: Path, capsys: Read) -> None:
    call = ["grade", file, "--base-url", server.url, "--yes", "--rpm", "0"]
    files = [tmp_path / "r.html", tmp_path / "r.md", tmp_path / "scores.jsonl"]
    written = ["--report", str(files[0]), "--report", str(files[1]), "--out", str(files[2])]
    assert run([*call, *written]) == 0
    said = capsys.readouterr()
    assert "grammar" in said.out and "voices0" in said.out and "3 of 3" in said.err
    assert len(files[2].read_text().splitlines()) == 3 and all(f.stat().st_size for f in files)
    assert run([*call, "--json"]) == 0  # all paid for before
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(server.ledger) == 6 and {s["story"] for s in again} == {
        f"voices{n}" for n in range(3)
    }
    # … and a person's marks are compared with the judge's
    assert run(["grade", "agree"]) == 2
    assert "nobody" in capsys.readouterr().err
    with Desk() as desk:
        for score in desk.scores():
            desk.cache.mark(score.story, "me", {"plot": score.numbers["plot"]})
    assert run(["grade", "agree", "--json"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["criterion"] == "plot" and row["exact"] == 1
    assert run(["grade", "agree", str(files[2]), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(row["exact"] == 1 for row in rows)


@pytest.mark.allow_loopback
def test_grades_of_saved_stories_are_kept_with_them(
    server: JudgeServer, tales: Tales, capsys: Read
) -> None:
    with Library() as library:
        id = library.add(tales(1)[0])
    call = ["grade", "library", "--base-url", server.url, "--yes", "--rubric", "gentle"]
    assert run(call) == run(call) == 0
    with Library() as library:
        (mark,) = library.marks(id)
    assert mark["rubric"] == "gentle@1" and set(mark["grades"]) == {
        "safe",
        "warm",
        "simple",
        "ending",
    }


@pytest.mark.allow_loopback
def test_the_queue_waits_and_is_emptied(server: JudgeServer, file: str, capsys: Read) -> None:
    assert run(["grade", "later", file, "--rubric", "gentle"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert run(["grade", "queue", "--rubric", "gentle", "--base-url", server.url, "--yes"]) == 0
    capsys.readouterr()
    with Desk() as desk:
        assert desk.waiting() == [] and len(desk.scores()) == 3


@pytest.mark.allow_loopback
def test_ones_own_rubric_from_its_folder(server: JudgeServer, file: str, capsys: Read) -> None:
    own = rubric.folder()
    own.mkdir(parents=True)
    assert run(["grade", "rubrics"]) == 0
    listed = capsys.readouterr()
    assert listed.out.split()[0] == "paper" and str(own) in listed.err
    (own / "kind.toml").write_text(OWN)
    (own / "other.toml").write_text("name = ")
    (own / "gentle.toml").write_text(OWN)
    assert run(["grade", "rubrics"]) == 1
    listed = capsys.readouterr()
    assert "kind         Is it kind?" in listed.out and "other " not in listed.out
    assert "other        faulty: the rubric" in listed.err and "gentle came along" in listed.err
    assert run(["grade", "rubrics", "kind"]) == 0
    assert capsys.readouterr().out == OWN
    # Stories wait for it by its name, and are graded by it when they are
    assert run(["grade", "later", file, "--rubric", str(own / "kind.toml")]) == 2
    assert str(own) in capsys.readouterr().err
    assert run(["grade", "later", file, "--rubric", "kind"]) == 0
    assert run(["grade", "queue", "--base-url", server.url, "--yes", "--json"]) == 0
    scores = [json.loads(line) for line in capsys.readouterr().out.splitlines()[3:]]
    assert len(scores) == 3 and all(0 <= score["grades"]["kindness"] <= 10 for score in scores)
    assert {score["rubric"] for score in scores} == {"kind@3"}
    assert run(["grade", "later", file]) == 0
    assert run(["grade", "later", file, "--rubric", "kind"]) == 0
    assert run(["grade", "queue", "--base-url", server.url, "--yes"]) == 2
    assert "kind and paper" in capsys.readouterr().err


@pytest.mark.allow_loopback
def test_no_grade_at_all_is_a_failure(server: JudgeServer, file: str, capsys: Read) -> None:
    server.style = "obey"
    assert run(["grade", file, "--base-url", server.url, "--yes"]) == 1
    assert "no story got a grade" in capsys.readouterr().err


def test_offline_marks_need_nothing(file: str, capsys: Read) -> None:
    assert run(["grade", file, "--offline"]) == 0
    assert "not GPT-4" in capsys.readouterr().out
    assert run(["grade", file, "--offline", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.allow_loopback
def test_the_suite_and_a_duel(
    server: JudgeServer, tiny_bundle: Path, tmp_path: Path, capsys: Read
) -> None:
    small = ["--beginnings", "2", "--completions", "2", "--folder", str(tmp_path / "told")]
    asks = ["--base-url", server.url, "--yes"]
    page, picture = tmp_path / "suite.html", tmp_path / "suite.svg"
    reports = ["--report", str(page), "--report", str(picture)]
    assert run(["grade", "suite", str(tiny_bundle), *small, *asks, *reports]) == 0
    assert "paper 256×8" in capsys.readouterr().out and "<svg" in page.read_text()
    root = ElementTree.parse(picture).getroot()
    assert root.tag.endswith("svg") and len(root.findall("{*}rect")) > 8
    (told,) = (tmp_path / "told" / "pure").glob("*.jsonl")
    assert run(["grade", "duel", str(told), str(told), *asks]) == 0
    assert "ties: 4" in capsys.readouterr().out
