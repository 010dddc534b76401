"""`tinytales doctor`: what is here, what is missing, and what to do about it.

tinytales doctor
tinytales doctor --model runs/fox/bundle --json | jq .ok

Every check is one line: `ok`, a `note` (something works less well or is not installed), or `broken`
(stories cannot be told or kept); one that is broken makes the exit code 1. A check that fails in an
unforeseen way is itself a finding, so that the doctor never falls ill.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tinytales.cli import checks
from tinytales.cli.checks import Check

app = typer.Typer(add_completion=False)

#: Columns of a table's names and findings together.
WIDTH = 88


@app.command()
def doctor(
    model: Annotated[
        Path | None, typer.Option(help="A bundle folder to check; default: the shipped one.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="The folder that is used with --data-dir.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Check this machine, the engines, the bundle, folders, settings and terminal."""
    from tinytales import __version__, paths

    if data_dir is not None:
        paths.override(data_dir)
    found = list(examine(model))
    broken = [check for check in found if check.state == "broken"]
    if as_json:
        report = {
            "tinytales": __version__,
            "ok": not broken,
            "checks": [asdict(check) for check in found],
        }
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        print("\n".join(table(found)))
        print()
        if broken:
            print(f"{len(broken)} broken: " + ", ".join(check.name for check in broken))
        else:
            print("All is well: tinytales can tell stories here.")
    if broken:
        raise typer.Exit(1)


def examine(model: Path | None = None) -> Iterator[Check]:
    """All checks, one after the other."""
    sections: dict[str, Callable[[], Iterator[Check]]] = {
        "machine": checks.machine,
        "engines": checks.engines,
        "bundle": lambda: checks.bundle(model),
        "folders": checks.folders,
        "settings": checks.settings,
        "terminal": checks.terminal,
        "extras": checks.extras,
    }
    for name, section in sections.items():
        try:
            yield from section()
        except Exception as error:
            yield Check(name, name, "broken", f"could not be checked: {checks.first_line(error)}")


def table(found: list[Check]) -> Iterator[str]:
    """The lines to print: sections, states, names and findings in columns."""
    marks = {"ok": "ok", "note": "note", "broken": "BROKEN"}
    names = max(len(check.name) for check in found)
    section = ""
    for check in found:
        if check.section != section:
            if section:
                yield ""
            section = check.section
            yield section
        texts = [check.text] + ([f"-> {check.hint}"] if check.hint else [])
        lines = [line for text in texts for line in textwrap.wrap(text, WIDTH - names) or [""]]
        yield f"  {marks[check.state]:<6}  {check.name:<{names}}  {lines[0]}".rstrip()
        for line in lines[1:]:
            yield f"  {'':<6}  {'':<{names}}  {line}"
