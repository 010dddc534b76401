"""What luck alone makes of a run's speed: many runs reckoned, without a judge and without waiting.

    python tests/grading/luck.py --stories 1000 --rpm 1500 --runs 300

Questions start at the rate and meet the faults of soak.py, 5 % each. How long a story waits for
another try is the policy: "never" is the least that any sender needs, "always" backs off with every
try of a story, "ours" only while nobody else is answered (`tinytales/grading/live.py`).
"""

from __future__ import annotations

import argparse
import heapq
import random

from tinytales.grading.judge import backoff
from tinytales.grading.live import MOST_TRIES

SHARE, THINKS, RETRY_AFTER = 0.05, 0.1, 1.0
KINDS = ("429", "500", "half", "cut", "timeout", "drip", "unreadable")


def speed(seed: int, policy: str, stories: int, rpm: float, deadline: float) -> float:
    """One run: the time of its questions at the rate, divided by the time that it takes."""
    dice, jitter = random.Random(seed), random.Random(7)
    again: list[tuple[float, int, int, bool]] = []  # when, number, tries, read once in vain
    answers: list[tuple[float, int, int, bool, str]] = []
    fresh, sent, in_a_row, now, end = stories, 0, 0, 0.0, 0.0
    while fresh or again or answers:
        start = now if fresh else max(now, again[0][0]) if again else float("inf")
        if answers and answers[0][0] <= start:
            end, number, tries, in_vain, kind = heapq.heappop(answers)
            if kind in ("good", "unreadable"):
                in_a_row = 0
                if kind == "unreadable" and not in_vain:
                    heapq.heappush(again, (end, number, 0, True))
                continue
            tries, in_a_row = tries + 1, in_a_row + 1
            wait = RETRY_AFTER
            if kind != "429":
                count = {"always": tries, "ours": min(tries, in_a_row)}.get(policy, 0)
                wait = backoff(count, jitter) if count else 0.0
            if tries < MOST_TRIES:
                heapq.heappush(again, (end + wait, number, tries, in_vain))
            continue
        now = start
        if again and again[0][0] <= now:
            _, number, tries, in_vain = heapq.heappop(again)
        else:
            fresh, number, tries, in_vain = fresh - 1, fresh, 0, False
        drawn = int(dice.random() / SHARE)
        kind = KINDS[drawn] if drawn < len(KINDS) else "good"
        took = THINKS + (deadline if kind in ("timeout", "drip") else 0)
        heapq.heappush(answers, (now + took, number, tries, in_vain, kind))
        sent += 1
        now += 60 / rpm
    return sent / rpm * 60 / end


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stories", type=int, default=1000)
    parser.add_argument("--rpm", type=float, default=1500)
    parser.add_argument("--deadline", type=float, default=6)
    parser.add_argument("--runs", type=int, default=300)
    asked = parser.parse_args()
    for policy in ("never", "ours", "always"):
        runs = sorted(
            speed(seed, policy, asked.stories, asked.rpm, asked.deadline)
            for seed in range(asked.runs)
        )
        tenth, half = runs[len(runs) // 10], runs[len(runs) // 2]
        enough = sum(run >= 0.9 for run in runs) / len(runs)
        print(
            f"waits {policy:<7} half of the runs from {half:.0%} of the rate on, nine tenths from "
            f"{tenth:.0%}, the worst {runs[0]:.0%}; {enough:.0%} of them reach 90 %"
        )
