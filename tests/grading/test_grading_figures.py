"""Statistics against known values; agreement; duels; what may be claimed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from judge_server import JudgeServer

from tinytales.errors import UsageError
from tinytales.grading import Desk, agreement, duel, stats
from tinytales.grading.cache import Score
from tinytales.story import Story

Tales = Callable[..., list[Story]]


def test_mean_and_error() -> None:
    found = stats.mean([2, 4, 4, 4, 5, 5, 7, 9])
    assert found.value == 5 and found.error == pytest.approx(0.7559, abs=1e-4)
    assert math.isnan(stats.mean([3]).error) and str(stats.mean([])) == "–"


def test_ten_completions_of_one_beginning_are_not_ten_stories() -> None:
    groups = [[float(g)] * 10 for g in (2, 4, 6, 8)]
    assert stats.clustered_mean(groups).error > 2 * stats.mean([v for g in groups for v in g]).error


def test_correlations_of_a_textbook() -> None:
    x, y = [1, 2, 3, 4, 5], [1, 3, 2, 5, 4]
    assert stats.pearson(x, y) == pytest.approx(0.8)
    assert stats.spearman(x, y) == pytest.approx(0.8)
    assert stats.kendall(x, y) == pytest.approx(0.6)
    assert stats.ranks([10, 20, 20, 30]) == [1, 2.5, 2.5, 4]
    assert stats.kendall([1, 1, 2, 3], [1, 2, 2, 4]) == pytest.approx(0.8)  # tau-b with ties
    assert math.isnan(stats.pearson([1, 1], [1, 2]))


def test_kappa() -> None:
    assert stats.kappa([1, 2, 3], [1, 2, 3]) == 1
    assert stats.kappa([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    a, b = list("AAAAABBBBB"), list("AAAABABBBB")
    assert stats.plain_kappa(a, b) == pytest.approx(0.6)


def test_the_bootstrap_covers_the_truth() -> None:
    """A 95 % interval holds the true difference about 95 times in 100."""
    dice, hits = random.Random(4), 0
    for trial in range(100):
        a = [[dice.gauss(6, 1)] for _ in range(50)]
        b = [[x[0] + dice.gauss(0.5, 1)] for x in a]
        gap = stats.paired_bootstrap(a, b, draws=400, seed=trial)
        hits += gap.low <= 0.5 <= gap.high
    assert 88 <= hits <= 100


def test_no_claim_under_two_tenths_from_fifty_stories() -> None:
    a = [[6.0]] * 50
    sure_but_small = stats.paired_bootstrap(a, [[6.15]] * 50)
    assert sure_but_small.low > 0 and not sure_but_small.claimed
    assert "too small" in sure_but_small.says("a", "b")
    assert stats.paired_bootstrap(a, [[6.3]] * 50).claimed
    assert "b is better than a" in stats.paired_bootstrap(a, [[6.3]] * 50).says("a", "b")
    assert stats.least_claim(10) > stats.least_claim(50) == 0.2
    assert stats.least_claim(100_000) == stats.DRIFT
    assert not stats.paired_bootstrap([[1.0]], [[9.0]]).claimed


def test_equal_voices_are_told_apart_rarely() -> None:
    dice, claims = random.Random(8), 0
    for trial in range(60):
        a = [[dice.gauss(6, 1)] for _ in range(50)]
        b = [[dice.gauss(6, 1)] for _ in range(50)]
        claims += stats.paired_bootstrap(a, b, draws=300, seed=trial).claimed
    assert claims <= 7


def test_wilson_and_sign_test() -> None:
    low, high = stats.wilson(8, 10)
    assert low == pytest.approx(0.490, abs=2e-3) and high == pytest.approx(0.943, abs=2e-3)
    assert stats.sign_test(5, 5) == 1 and stats.sign_test(10, 0) == pytest.approx(2 / 1024)


def score(story: str, **grades: float | str) -> Score:
    return Score(story, "paper@1", "judge", grades=grades)


def test_agreement_with_a_person(tmp_path: Path) -> None:
    csv = tmp_path / "marks.csv"
    csv.write_text(
        "\ufeffStory;Grammar;Plot;age_group;note\na;7;5;B;fine, really\nb;8,5;;c;\nc;2;3;A;\n"
    )
    scores = [score("a", grammar=8.0, plot=5.0, age_group="B"), score("b", grammar=8.0, plot=6.0,
              age_group="B"), score("c", grammar=3.0, plot=2.0, age_group="A")]  # fmt: skip
    rows = {
        r.criterion: r
        for r in agreement.compare(agreement.read_marks(csv), agreement.marks_of(scores))
    }
    assert rows["grammar"].stories == 3 and rows["grammar"].within_one == 1
    assert rows["grammar"].pearson > 0.9 and rows["grammar"].bias == pytest.approx(0.5)
    assert rows["plot"].stories == 2 and rows["age_group"].exact == pytest.approx(2 / 3)
    assert math.isnan(rows["age_group"].pearson) and rows["mean"].stories == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column"),
        ("grammar,plot\n1,2\n", "no column 'story'"),
        ("story,grammar\na,eleven\n", "line 2"),
        ("story,grammar\na,11\n", "line 2"),
        ("story,grammar\n", "no column"),
        ("story,grammar\nz,5\n", "no story in common"),
        ("story,taste\na,5\n", "no criterion in common"),
        ('{"story": "a"', "line 1"),
    ],
)
def test_marks_that_cannot_be_used_say_why(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "marks.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        agreement.compare(agreement.read_marks(path), {"a": {"grammar": 5.0}})


@pytest.mark.allow_loopback
def test_duels_are_asked_in_both_orders(desk: Desk, server: JudgeServer, tales: Tales) -> None:
    pairs = duel.pair(tales(12, "x"), tales(12, "y"))
    assert len(pairs) == 12
    scores = desk.grade(desk.plan([], "duel", pairs=pairs))
    assert len(scores) == 24 and all(s.scored for s in scores)
    result = duel.result(pairs, scores)
    assert result.first + result.second == 12 and result.ties == result.swayed == 0


@pytest.mark.parametrize(
    ("forward", "back", "field"),
    [("1", "2", "first"), ("2", "1", "second"), ("1", "1", "ties"), ("2", "2", "ties"),
     ("tie", "1", "ties"), (None, "1", "open")],
)  # fmt: skip
def test_a_win_counts_only_in_both_orders(
    tales: Tales, forward: str | None, back: str, field: str
) -> None:
    pair = (tales(1, "x")[0], tales(1, "y")[0])
    given = (
        [Score("xs0", "duel@1", "j", other="ys0", grades={"better": forward})] if forward else []
    )
    given.append(Score("ys0", "duel@1", "j", other="xs0", grades={"better": back}))
    result = duel.result([pair], given)
    assert getattr(result, field) == 1
    assert result.swayed == (forward == back)
    assert "Too small" in result.says("x", "y")
