"""The long runs that the short tests stand for; prints what docs/grading.md reports.

python tests/grading/soak.py faults --stories 1000 --rpm 1500     # every fault at 5 %
python tests/grading/soak.py kills --stories 200 --kills 20       # kill -9 at random moments
python tests/grading/soak.py suite --out runs/suite               # all of GPT-Eval, 50 x 10

In all of them the judge is a rehearsal: its grades are drawn from the story's hash, and say nothing
about the story.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from judge_server import Entry, JudgeServer

#: Seconds in which the judge answers when it does.
THINKS = 0.1
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def stories(count: int, path: Path) -> Path:
    """Little made-up stories, all different."""
    dice = random.Random(5)
    heroes = ["a fox", "a hen", "a small robot", "an old bear", "a girl named Mia"]
    lines = []
    for number in range(count):
        hero = dice.choice(heroes)
        text = f"One day, {hero} counted to {number} and then went home. " + " ".join(
            f"{hero.capitalize()} met {dice.choice(heroes)}: {dice.randint(2, 9)} buns for two."
            for _ in range(4)
        )
        lines.append(
            json.dumps({"id": f"s{number:04d}", "text": text, "opening": f"One day, {hero}"})
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def faults(
    count: int, share: float, rpm: float, rubric: str, deadline: float, folder: Path
) -> dict[str, Any]:
    """Grade `count` stories while every kind of fault happens to `share` of the requests.

    The judge is a process of its own, as real ones are elsewhere. `ideal` is the time of all
    requests that were sent, repeated ones too, at the rate. No run can quite be so fast: at the end
    stories are left that meet one time-out after the other. `least` is what those allow.
    """
    from tinytales.grading import Desk
    from tinytales.grading.sources import read

    tales = read([str(stories(count, folder / "stories.jsonl"))])
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("judge_server.py")), "--ledger",
         "--faults", str(share), "--seed", "1", "--delay", str(THINKS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    with Desk(
        "judge", server.stdout.readline().strip(), path=folder / "grades.sqlite",
        requests_per_minute=rpm, tokens_per_minute=0, deadline=deadline,
    ) as desk:  # fmt: skip
        plan = desk.plan(tales, rubric)
        start, cpu = time.monotonic(), time.process_time()
        scores = desk.grade(plan)
        end, cpu = time.monotonic(), time.process_time() - cpu
    ledger = [Entry(key, {}, *rest) for key, *rest in json.loads(server.communicate()[0])]
    seconds = end - start
    # An unreadable verdict is asked for once more on purpose.
    paid = Counter(entry.key for entry in ledger if entry.paid and not entry.fault)
    ideal = len(ledger) / rpm * 60
    assert desk.progress is not None
    return {
        "stories": count,
        "scored": sum(s.scored for s in scores),
        "unscored": dict(Counter(s.reason.split(":")[0] for s in scores if not s.scored)),
        "without either": count - len(scores) + sum(not s.scored and not s.reason for s in scores),
        "stories scored more than once": count - len({s.story for s in scores}),
        "requests": len(ledger),
        "faults as the client saw them": dict(sorted(desk.progress.faults.items())),
        "faults met": dict(Counter(entry.fault for entry in ledger if entry.fault)),
        "replies paid twice": sum(n - 1 for n in paid.values()),
        "slowest good reply of the server, s": round(
            max(e.sent - e.came for e in ledger if e.paid and not e.fault), 2
        ),
        "most under way": desk.progress.most_under_way,
        "seconds of CPU": round(cpu, 1),
        "seconds": round(seconds, 1),
        "… before the first question": round(ledger[0].came - start, 1),
        "… after the last new story was asked": round(
            end - max({e.key: e.came for e in reversed(ledger)}.values()), 1
        ),
        "ideal seconds at the rate": round(ideal, 1),
        "speed of ideal": round(ideal / seconds, 3),
        "least seconds with these faults": round(at_least := least(ledger, rpm, deadline), 1),
        "speed of that": round(at_least / seconds, 3),
    }


def least(ledger: list[Entry], rpm: float, deadline: float) -> float:
    """Seconds that a sender needs which costs no time itself and tries again without a pause.

    Each story meets the faults that it met. No story is asked twice at a time: that would be paid.
    """
    met: dict[str, list[float]] = {}
    for entry in ledger:
        wait = {"429": 1.0, "timeout": deadline, "drip": deadline}.get(entry.fault, 0.0)
        met.setdefault(entry.key, []).append(THINKS + wait)
    fresh, again = list(reversed(met.values())), []
    now = end = 0.0
    while fresh or again:
        if not fresh:
            now = max(now, again[0][0])
        if again and again[0][0] <= now:
            _, rest = heapq.heappop(again)
        else:
            rest = fresh.pop()
        end = max(end, now + rest[0])
        if rest[1:]:
            heapq.heappush(again, (now + rest[0], rest[1:]))
        now += 60 / rpm
    return end


def kills(count: int, times: int, folder: Path, rubric: str = "paper") -> dict[str, Any]:
    """Kill a run with SIGKILL at random moments, go on each time, compare with a whole run."""
    source = stories(count, folder / "stories.jsonl")
    dice = random.Random(11)

    def command(server: Any, data: Path, out: Path) -> list[str]:
        return [
            sys.executable, "-m", "tinytales", "grade", str(source), "--rubric", rubric,
            "--judge", "judge", "--base-url", server.url, "--yes", "--rpm", "0", "--tpm", "0",
            "--at-once", "8", "--out", str(out), "--deadline", "20",
        ]  # fmt: skip

    def environment(data: Path) -> dict[str, str]:
        return {**os.environ, "TINYTALES_DATA_DIR": str(data)}

    turns = 2 if rubric == "paper" else 1
    killed = again = lost = 0
    moments: list[float] = []
    with JudgeServer(seed=2, delay=0.05) as server:
        whole = folder / "whole.jsonl"
        subprocess.run(command(server, folder / "a", whole), env=environment(folder / "a"),
                       check=True, capture_output=True)  # fmt: skip
        first = len(server.ledger)
        server.ledger.clear()
        server.asked.clear()
        resumed, data = folder / "resumed.jsonl", folder / "b"
        before: set[str] = set()
        while killed < times:
            paid_before = len(server.ledger)
            process = subprocess.Popen(
                command(server, data, resumed), env=environment(data), **QUIET
            )
            # Let it come to the wire, then a moment anywhere within its share of the work.
            share = max(1, turns * count // (times + 2))
            goal = paid_before + dice.randint(0, share)
            while len(server.ledger) < goal and process.poll() is None:
                time.sleep(0.002)
            time.sleep(dice.uniform(0, 0.06))
            if process.poll() is not None:
                break
            process.kill()
            moments.append(time.monotonic())
            process.wait()
            killed += 1
            time.sleep(0.15)  # replies on the wire arrive nowhere
            kept = _kept(data / "grades.sqlite")
            lost += len(before - kept)
            before = kept
        subprocess.run(command(server, data, resumed), env=environment(data), check=True,
                       capture_output=True)  # fmt: skip
        # A reply that found nobody is counted too: a real judge has worked for it.
        asked = Counter(entry.key for entry in server.ledger)
        again = sum(n - 1 for n in asked.values())
        sent: dict[str, list[float]] = {}
        for entry in server.ledger:
            if entry.paid:
                sent.setdefault(entry.key, []).append(entry.sent)
    # How long before a kill was a reply sent that had to be asked for again?
    ages = [
        next(k for k in moments if k >= at[i] - 0.2) - at[i]
        for at in sent.values()
        for i in range(len(at) - 1)
    ]
    return {
        "stories": count,
        "killed": killed,
        "questions of a whole run": first,
        "questions over all resumed runs": sum(asked.values()),
        "replies kept once and missing later": lost,
        "asked again (on the wire when killed)": again,
        "of them sent before the kill": sum(age > 0 for age in ages),
        "… at most so many seconds before it": round(max(ages, default=0.0), 4),
        "most that can be on the wire": killed * 8,
        "resumed equals whole": _grades(whole) == _grades(resumed),
    }


def suite(bundle: Path, out: Path) -> dict[str, Any]:
    """The whole GPT-Eval of a bundle as a person calls it, with every form of its report."""
    reports = [out / f"suite.{form}" for form in ("html", "md", "svg")]
    with JudgeServer(seed=3) as server:
        call = [
            sys.executable, "-m", "tinytales", "grade", "suite", str(bundle), "--folder", str(out),
            "--judge", "rehearsal", "--base-url", server.url, "--yes",
            "--out", str(out / "scores.jsonl"),
            *(word for path in reports for word in ("--report", str(path))),
        ]  # fmt: skip
        start = time.monotonic()
        before = os.times()
        done = subprocess.run(call, env={**os.environ, "TINYTALES_DATA_DIR": str(out / "data")},
                              check=True, stdout=subprocess.PIPE, text=True)  # fmt: skip
        after = os.times()
        questions = len(server.ledger)
    print(done.stdout)
    return {
        "questions": questions,
        "seconds": round(time.monotonic() - start, 1),
        "seconds of CPU, judge not counted": round(
            after.children_user + after.children_system
            - before.children_user - before.children_system, 1
        ),
        **{path.name: f"{path.stat().st_size:,} bytes" for path in reports},
    }  # fmt: skip


def _kept(path: Path) -> set[str]:
    import sqlite3

    if not path.exists():
        return set()
    db = sqlite3.connect(path)
    try:
        return {row[0] for row in db.execute("SELECT key FROM replies")}
    except sqlite3.Error:
        return set()  # killed before the tables were made
    finally:
        db.close()


def _grades(path: Path) -> list[Any]:
    """Scores without what is drawn anew in every file of grades: the codes of the fences."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row.pop("exchange")
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("faults", "kills", "suite"))
    parser.add_argument("--stories", type=int, default=1000)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--rpm", type=float, default=1500)
    parser.add_argument("--deadline", type=float, default=6)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rubric", default="paper")
    parser.add_argument("--bundle", type=Path, default=Path("assets/storyteller"))
    parser.add_argument("--out", type=Path, default=Path("runs/suite"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        at = Path(scratch)
        if options.what == "faults":
            found = faults(
                options.stories, options.share, options.rpm, options.rubric, options.deadline, at
            )
        elif options.what == "suite":
            options.out.mkdir(parents=True, exist_ok=True)
            found = suite(options.bundle, options.out)
        else:
            found = kills(options.stories, options.kills, at, options.rubric)
    for name, value in found.items():
        print(f"{name:<40} {value}")
