"""The sampler: what may be chosen, how often, and never a third time round."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinytales.errors import UsageError
from tinytales.sampling import LOOP_TOKENS, Sampler, Sampling


def logits_of(*probabilities: float) -> np.ndarray:
    return np.log(np.array(probabilities, dtype=np.float32))


def counts(sampling: Sampling, logits: np.ndarray, draws: int = 20_000) -> np.ndarray:
    sampler = Sampler(sampling)
    return np.bincount([sampler._choose(logits) for _ in range(draws)], minlength=logits.size)


def test_temperature_one_follows_the_distribution() -> None:
    logits = logits_of(0.5, 0.3, 0.15, 0.05)
    share = counts(Sampling(temperature=1, top_p=1, min_p=0, seed=1), logits) / 20_000
    np.testing.assert_allclose(share, [0.5, 0.3, 0.15, 0.05], atol=0.015)


def test_zero_is_greedy() -> None:
    assert counts(Sampling(temperature=0, seed=1), logits_of(0.2, 0.5, 0.3), 10)[1] == 10


def test_top_p_keeps_the_token_that_crosses_it() -> None:
    seen = counts(
        Sampling(temperature=1, top_p=0.6, min_p=0, seed=1), logits_of(0.5, 0.3, 0.15, 0.05)
    )
    assert (seen > 0).tolist() == [True, True, False, False]


def test_min_p_and_top_k_drop_the_unlikely() -> None:
    logits = logits_of(0.5, 0.3, 0.15, 0.05)
    seen = counts(Sampling(temperature=1, top_p=1, min_p=0.2, seed=1), logits)
    assert (seen > 0).tolist() == [True, True, True, False]
    seen = counts(Sampling(temperature=1, top_p=1, min_p=0, top_k=2, seed=1), logits)
    assert (seen > 0).tolist() == [True, True, False, False]


def test_the_same_seed_chooses_the_same() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 300)).astype(np.float32)

    def run(seed: int) -> list[int]:
        sampler = Sampler(Sampling(seed=seed))
        return [sampler.pick(row) for row in rows]

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_no_run_of_tokens_is_told_a_third_time() -> None:
    period = list(range(LOOP_TOKENS))
    sampler = Sampler(Sampling(temperature=0, seed=0))
    row = np.zeros(100, np.float32)
    told = []
    for step in range(5 * LOOP_TOKENS):
        logits = row.copy()
        logits[period[step % LOOP_TOKENS]] = 5
        told.append(sampler.pick(logits))
    runs = [tuple(told[i : i + LOOP_TOKENS]) for i in range(len(told) - LOOP_TOKENS + 1)]
    assert runs.count(tuple(period)) == 2
    assert max(runs.count(run) for run in runs) <= 2


def test_the_loop_guard_can_be_turned_off() -> None:
    sampler = Sampler(Sampling(temperature=0, seed=0, loop_guard=False))
    row = np.zeros(10, np.float32)
    row[4] = 1
    assert [sampler.pick(row) for _ in range(60)] == [4] * 60


def test_the_loop_guard_remembers_what_a_search_would_find() -> None:
    """Against a plain search over all that was told, with picks taken back in between."""
    random = np.random.default_rng(0)
    sampler = Sampler(Sampling(temperature=3, top_p=1, min_p=0, seed=0))
    banned = 0
    for _ in range(3000):
        told, tail = sampler.told, sampler.told[1 - LOOP_TOKENS :]
        runs = [
            told[i] for i in range(len(tail), len(told)) if told[i - len(tail) : i] == tail
        ] if len(told) >= 2 * LOOP_TOKENS else []  # fmt: skip
        expected = {token for token in runs if runs.count(token) >= 2}
        assert set(sampler._loop_closers()) == expected
        banned += bool(expected)
        sampler.pick(np.array([9.0, 0.0] + 30 * [-9.0], np.float32))
        if random.random() < 0.1:
            sampler.forget(min(len(sampler.told), int(random.integers(1, 30))))
    assert banned > 10


def test_repetition_penalty_lowers_what_was_told() -> None:
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=1.5, seed=0, loop_guard=False))
    row = np.array([1.0, 0.9, -1.0], np.float32)
    assert [sampler.pick(row), sampler.pick(row)] == [0, 1]
    assert row.tolist() == pytest.approx([1.0, 0.9, -1.0])  # the caller's row is untouched


def test_bias_forbids() -> None:
    sampler = Sampler(Sampling(temperature=0, seed=0))
    assert sampler.pick(logits_of(0.9, 0.1), {0: -np.inf}) == 1


@given(
    hnp.arrays(np.float32, st.integers(1, 400), elements=st.floats(-50, 50, width=32)),
    st.floats(0, 5),
    st.floats(0.01, 1),
    st.floats(0, 1),
    st.integers(0, 500),
    st.integers(0, 1000),
)
def test_every_choice_is_a_token(
    logits: np.ndarray, temperature: float, top_p: float, min_p: float, top_k: int, seed: int
) -> None:
    sampler = Sampler(
        Sampling(temperature=temperature, top_p=top_p, min_p=min_p, top_k=top_k, seed=seed)
    )
    assert 0 <= sampler.pick(logits) < logits.size


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1}, {"temperature": float("nan")}, {"top_p": 0}, {"top_p": 1.1},
        {"min_p": 2}, {"top_k": -1}, {"seed": -1}, {"seed": 1.5}, {"repetition_penalty": 0.5},
        {"max_words": -3}, {"temperature": "hot"},
    ],
)  # fmt: skip
def test_impossible_values_say_what_is_possible(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Sampling(**wrong)  # type: ignore[arg-type]


def test_unknown_values_name_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        Sampling.from_dict({"temprature": 1})
    assert "temperature" in caught.value.hint
