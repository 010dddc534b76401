"""The options that all commands of `tinytales grade` share, said once.

    @app.command()
    @asks_judge
    def duel(first: str, second: str, asking: Asking) -> None: ...

gives `duel` every option of `Asking` on the command line, and the values in `asking`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from tinytales.grading import Desk


def _known_forms(paths: list[Path] | None) -> list[Path] | None:
    """Find out before anything is paid that a report cannot be written so."""
    if paths:
        from tinytales.errors import UsageError
        from tinytales.grading.report import FORMS

        for path in paths:
            if path.suffix not in FORMS:
                raise UsageError(f"a report is {', '.join(FORMS)}, not {path.name}")
    return paths


Rubric = Annotated[
    str, typer.Option(help="paper, instruct, gentle, or your own; see tinytales grade rubrics.")
]
ReportTo = Annotated[
    list[Path] | None,
    typer.Option(
        "--report",
        help="Write .html, .md or .svg (the picture alone); again for more.",
        callback=_known_forms,
    ),
]


@dataclass(frozen=True, slots=True)
class Asking:
    """How a judge is asked, what it may cost, and where its scores go."""

    judge: Annotated[
        str, typer.Option("--judge", help="The judge's model.", show_default=False)
    ] = ""
    base_url: Annotated[
        str, typer.Option(help="The judge's address (llama.cpp, Ollama, vLLM); default: OpenAI.")
    ] = ""
    temperature: Annotated[
        float, typer.Option("--temperature", help="The judge's; below 0 leaves it open.")
    ] = 0.0
    repeats: Annotated[
        int, typer.Option(help="Grade every story so many times.", min=1, max=100)
    ] = 1
    yes: Annotated[
        bool, typer.Option("--yes", help="Agree to what goes where and what it costs.")
    ] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it, and send nothing.")] = False
    max_cost: Annotated[
        float | None,
        typer.Option(help="US dollars; refuse a dearer plan, stop when spent.", min=0),
    ] = None
    rpm: Annotated[
        float | None,
        typer.Option(
            "--rpm", min=0,
            help="Questions a minute; 0 is no limit. Default: 500, no limit on this machine.",
        ),
    ] = None  # fmt: skip
    tpm: Annotated[
        float | None,
        typer.Option(
            "--tpm", min=0,
            help="Tokens a minute; 0 is no limit. Default: 200,000, no limit on this machine.",
        ),
    ] = None  # fmt: skip
    at_once: Annotated[
        int | None,
        typer.Option(
            help="Most questions under way. Default: what the rate needs; 4 where there is none.",
            min=1, max=900, show_default=False,
        ),
    ] = None  # fmt: skip
    deadline: Annotated[float, typer.Option(help="Seconds for one question.", min=0.1)] = 120
    batch: Annotated[
        bool, typer.Option("--batch", help="By the Batch API: half the price, within a day.")
    ] = False
    poll: Annotated[float, typer.Option(help="Seconds between two looks at a batch.", min=0.01)] = (
        30
    )
    out: Annotated[Path | None, typer.Option("--out", help="Write all scores (JSONL).")] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print scores as JSON lines.")] = False

    def desk(self) -> Desk:
        """The judge of the options, else of the settings."""
        from tinytales import settings
        from tinytales.grading import Desk

        chosen = settings.load()
        return Desk(
            self.judge or chosen.judge_model,
            self.base_url or chosen.judge_base_url,
            temperature=self.temperature if self.temperature >= 0 else None,
            requests_per_minute=self.rpm,
            tokens_per_minute=self.tpm,
            at_once=self.at_once,
            deadline=self.deadline,
        )


def asks_judge(command: Callable[..., None]) -> Callable[..., None]:
    """Let `command` take all options of `Asking` as its argument `asking`."""
    names = [field.name for field in fields(Asking)]
    kinds = get_type_hints(Asking, include_extras=True)
    defaults = Asking()
    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [parameter for parameter in own if parameter.name != "asking"]
    parameters += [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=getattr(defaults, name),
            annotation=kinds[name],
        )
        for name in names
    ]  # fmt: skip

    def run(**values: Any) -> None:
        asking = Asking(**{name: values.pop(name) for name in names})
        command(**values, asking=asking)

    # Typer reads a command's options from its signature.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run
