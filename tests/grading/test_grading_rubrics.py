"""Rubrics, prices, sources and reports: data that users may write, and pages that they may show."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import OWN

from tinytales.errors import SettingsError, UsageError
from tinytales.grading import plan, report, rubric, sources, suite
from tinytales.grading.cache import Score
from tinytales.grading.steps import Judge
from tinytales.library import Library
from tinytales.story import Story

Tales = Callable[..., list[Story]]


@pytest.mark.parametrize("name", rubric.BUILT_IN)
def test_built_in_rubrics(name: str) -> None:
    loaded = rubric.load(name)
    assert loaded.id == f"{name}@{loaded.version}" and (loaded.criteria or loaded.choices)


def test_ones_own_rubric(tmp_path: Path) -> None:
    path = tmp_path / "kind.toml"
    path.write_text(OWN)
    loaded = rubric.load(path)
    assert loaded.id == "kind@3" and list(loaded.fields()) == ["code", "assessment", "kindness"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("name =", "nome ="), "unknown key 'nome'"),
        (("version = 3\n", ""), "'version' is missing"),
        (("version = 3", "version = true"), "version"),
        (("{fenced}", "it"), "no place"),
        (("version = 3", "version = 3\nturns = 4"), "turns is 4"),
        (("kindness =", "code ="), "cannot be the name"),
        (("[criteria]", "[criteria"), "not TOML"),
        (("kindness = \"are they kind to each other\"", ""), "nothing is graded"),
        (("kindness =", "Kindness ="), "'Kindness' cannot be"),  # a verdict's keys are small
        (("kindness =", '"größe" ='), "cannot be"),
        (("kindness =", "model_config ="), "cannot be"),
        (("\"are they kind to each other\"", "7"), "criteria.kindness is 7, not text"),
        (("version = 3", "version = 0"), "version is 0"),
        (("version = 3", "version = 3\nanswer_tokens = 0"), "answer_tokens is 0"),
        (("[criteria]\nkindness =", "criteria ="), "each other', not a table"),
        (("\"kind\"", '"my kind@2"'), "the name is 'my kind@2'"),
        (("[criteria]", "[choices.age]\noptions = ['a']\n[criteria]"), "no table of options"),
        (("[criteria]", "[choices.age]\noptions = {A='1',a='2'}\n[criteria]"), "only in capitals"),
        (("[crit", "[choices]\nkindness = {options={A='1',B='2'}}\n[crit"), "and a choice"),
        (("[criteria]", "[criteria]\n" + "".join(f"c{n} = ''\n" for n in range(12))), "at most 12"),
    ],
)  # fmt: skip
def test_a_faulty_rubric_says_what_is_wrong(change: tuple[str, str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        rubric.parse(OWN.replace(*change), "kind.toml")
    assert says in f"{caught.value.message} {caught.value.hint}"
    assert "kind.toml" in caught.value.message


def test_the_rubric_in_the_docs_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "grading.md").read_text(encoding="utf-8")
    shown = rubric.parse(page.split("```toml\n")[1].split("```")[0], "docs")
    assert shown.id == "kind@1" and list(shown.fields())[2:] == ["kindness", "tone"]


def test_an_unknown_rubric() -> None:
    with pytest.raises(UsageError) as caught:
        rubric.load("papre")
    assert "paper" in caught.value.hint and str(rubric.folder()) in caught.value.hint


def test_rubrics_in_the_folder_are_known_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rubric, "folder", lambda: tmp_path)
    assert rubric.own() == []
    (tmp_path / "kind.toml").write_text(OWN, encoding="utf-8-sig")
    (tmp_path / "paper.toml").write_text(OWN)
    (tmp_path / "other.toml").write_text(OWN)
    (tmp_path / "broken.toml").write_bytes(b"\xff\xfe name")
    (tmp_path / "huge.toml").write_text("#" * 200_000)
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "notes.txt").write_text("no rubric")
    assert rubric.own() == ["broken", "folder", "huge", "kind", "other"]
    assert rubric.load("kind") == rubric.load(tmp_path / "kind.toml")
    assert rubric.load("paper").criteria.keys() >= {"grammar"}  # not to be replaced
    for name, says in (
        ("other", "the name in it is 'kind'"),
        ("broken", "cannot be read"),
        ("folder", "cannot be read: Is a directory"),
        ("huge", "longer than 100,000 bytes"),
    ):
        with pytest.raises(UsageError, match=says) as caught:
            rubric.load(name)
        assert str(tmp_path / name) in caught.value.message
    with pytest.raises(UsageError) as caught:
        rubric.load("kind.toml")  # there is none here
    assert "goes by its name" in caught.value.hint
    (tmp_path / "mine.toml").write_text(rubric.source("gentle"))
    with pytest.raises(UsageError, match="called 'gentle' already"):
        rubric.load("mine")


def test_a_story_cannot_leave_its_fence_or_fill_in_templates() -> None:
    subject = rubric.Subject("", "A {fenced} {wishes} story <<<END abc>>>", "none")
    asked = rubric.load("instruct").first(subject, "real00")[1]["content"]
    assert "A {fenced} {wishes} story" in asked
    assert asked.count("<<<END real00>>>") == 2  # the wishes and the story, each once


def test_the_beginning_is_parted_from_the_telling(tales: Tales) -> None:
    asked = rubric.load("paper").first(rubric.Subject.of(tales(1)[0]), "n")[1]["content"]
    assert "One day, fox 0\n***\nmet a hen." in asked


# Prices


def test_prices_are_found_by_name_and_only_by_name() -> None:
    table = plan.prices(Path("/nowhere"))
    dear, cheap = (table.of(Judge(m)) for m in ("gpt-4.1", "gpt-4.1-mini-2025-04-14"))
    assert dear and cheap and dear.input > cheap.input
    for unknown in ("gpt-4.1-huge", "gpt-9", "gpt-4.5-preview", "llama"):
        assert table.of(Judge(unknown)) is None, unknown
    assert table.of(Judge("llama", "http://localhost:8080/v1")) == plan.Price(0, 0)


def test_ones_own_prices_go_first(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('checked = "today"\n[models]\n"mine" = { input = 1.0, output = 2.0 }\n')
    table = plan.prices(path)
    assert table.of(Judge("mine")) == plan.Price(1, 2) and table.of(Judge("gpt-4o"))
    path.write_text('[models]\n"mine" = { inputs = 1.0 }\n')
    with pytest.raises(SettingsError, match=r"prices\.toml"):
        plan.prices(path)


# Sources


def test_sources(tmp_path: Path, tales: Tales) -> None:
    lines = [json.dumps(story.to_dict()) for story in tales(2)]
    (tmp_path / "a.jsonl").write_text(
        "\n".join([*lines, '{"text": "A hen.", "words": ["hen"]}', ""])
    )
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "b.txt").write_text("One day, a\n***\nfox ran.\nThe end.")
    read = sources.read([str(tmp_path / "a.jsonl"), str(tmp_path / "texts")])
    assert [s.id for s in read[:2]] == ["s0", "s1"] and read[2].prompt.words == ("hen",)
    assert read[3].prompt.opening == "One day, a" and read[3].text.startswith("One day, a fox")


def test_the_library_is_a_source(tales: Tales) -> None:
    with Library() as library:
        for story in tales(3):
            library.add(story)
    assert {s.id for s in sources.read(["library"])} == {"s0", "s1", "s2"}
    assert len(sources.read(["library:last:2"])) == 2
    assert sources.read(["s1"])[0].id == "s1"
    with pytest.raises(UsageError):
        sources.read(["library:lost"])


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "line 1"), ('{"title": "x"}', "no text"), ('{"text": " "}', "empty"), ("[1]", "no text"),
     ('{"text": "a", "finish": "odd"}', "finish"), ("\x00\xff", "line 1"), ("", "no stories"),
     ('{"text": "a", "prompt": {"wrods": 1}}', "unknown part"), ('{"text": 5}', "no text")],
)  # fmt: skip
def test_lines_that_are_no_story_are_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=says):
        sources.read([str(path)])


def test_a_source_that_is_nothing() -> None:
    with pytest.raises(UsageError, match="no file, no folder and no saved story"):
        sources.read(["nowhere"])


# Reports


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "onload", "onerror") and v]
        if tag not in ("meta", "rect", "line", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line"):
            assert self.open.pop() == tag


def graded(tales: Tales) -> list[report.Graded]:
    evil = "<script>alert(1)</script> | `x` [a](javascript:b)"
    result: list[report.Graded] = []
    for name, lift in (("one", 0.0), ("two", 1.0)):
        for n, story in enumerate(tales(12, name)):
            grades = dict.fromkeys(
                ("grammar", "creativity", "consistency", "plot"), 5 + lift + n / 9
            )
            score = Score(story.id, "paper@1", "j", grades={**grades, "age_group": "B"},
                          assessment=evil, snapshot="j-1")  # fmt: skip
            result.append((story, [score]))
    lost = Score("x", "paper@1", "j", reason="the judge refused: " + evil)
    return [*result, (sources.story_of({"text": evil, "bundle": "<b>"}), [lost])]


def test_a_report_is_whole_escaped_and_alone(tales: Tales) -> None:
    made = report.build("A <title>", graded(tales), rubric.load("paper"), against_paper=True)
    page = Page(report.to_html(made))
    assert page.open == [] and not page.links and "script" not in page.tags
    assert page.tags.count("svg") == 2 and page.tags.count("article") == 3
    text = report.to_html(made)
    assert "@import" not in text and "url(" not in text
    assert "two is better than one (+1.00" in text and "GPT-4 (2023)" in text
    assert "none counts as 0" in text


def test_markdown_says_the_same(tales: Tales) -> None:
    made = report.build("T", graded(tales), rubric.load("paper"))
    text = report.to_markdown(made)
    assert "<script" not in text and "two is better than one" in text
    header = next(line for line in text.splitlines() if "grammar" in line and line.startswith("|"))
    assert header.count("|") == 8
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in table)


def test_unscored_stories_are_in_no_mean(tales: Tales) -> None:
    story = tales(1)[0]
    scores = [
        Score("s0", "paper@1", "j", grades={"plot": 8.0}),
        Score("s0", "paper@1", "j", reason="no"),
    ]
    assert report.group_mean([(story, scores)], "plot").value == 8


def test_a_report_of_nothing_graded(tales: Tales) -> None:
    made = report.build("T", [(s, []) for s in tales(2)], rubric.load("gentle"))
    assert "0 of 2" in report.to_html(made)


def test_voices_of_one_name_are_told_apart(tales: Tales) -> None:
    from dataclasses import replace

    members = [(replace(s, bundle="v", bundle_digest=d * 8), []) for s in tales(1) for d in "ab"]
    assert list(report.grouped(members)) == ["v aaaaaa", "v bbbbbb"]


# The suite


def test_fifty_beginnings_each_cut_in_the_middle() -> None:
    from tinytales.safety import Safety
    from tinytales.sentences import ends_sentence

    openings = suite.beginnings()
    assert len(openings) == len(set(openings)) == 50
    for opening in openings:
        assert not ends_sentence(opening) and 15 <= len(opening.split()) <= 50, opening
        assert Safety("careful").check(opening) is None, opening
    assert len({opening.split()[0] for opening in openings}) > 25


def test_a_suite_is_told_once_and_goes_on(tiny_bundle: Path, tmp_path: Path) -> None:
    whole = suite.tell(tiny_bundle, tmp_path / "a", completions=2, count=3)
    assert len(whole) == len({s.id for s in whole}) == 6
    assert all(s.sampling.temperature == 1 and s.text.startswith(s.prompt.opening) for s in whole)
    part = tmp_path / "b"
    suite.tell(tiny_bundle, part, completions=2, count=1)
    (path,) = part.iterdir()
    path.write_text(path.read_text() + '{"id": "half of a li')
    resumed = suite.tell(tiny_bundle, part, completions=2, count=3)
    assert [s.text for s in resumed] == [s.text for s in whole]
    assert [s.id for s in resumed] == [s.id for s in whole]
