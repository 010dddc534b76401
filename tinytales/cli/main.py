"""The `tinytales` command: which commands there are, and how any of them ends.

Each command lives in a module of its own, imported only when it is called (or listed). Here stands
what is true for all: errors become two lines on stderr, Ctrl-C leaves with 130, a closed pipe ends
quietly.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from typing import NoReturn

from tinytales import __version__
from tinytales.errors import TinytalesError, nearest

#: command -> (module, what it does). The order is that of `tinytales --help`.
COMMANDS: dict[str, tuple[str, str]] = {
    "app": ("tinytales.cli.app", "Open the storyteller app (what bare `tinytales` does)."),
    "tell": ("tinytales.cli.tell", "Tell one story on the terminal or into a pipe."),
    "library": ("tinytales.cli.library", "List, search, show and export the saved stories."),
    "replay": ("tinytales.cli.replay", "Tell a saved story again, word for word."),
    "grade": ("tinytales.cli.grade", "Grade saved stories with GPT-4 or another judge."),
    "corpus": ("tinytales.cli.corpus", "Get, clean and measure texts to train on."),
    "train": ("tinytales.cli.train", "Train a tiny model from a recipe."),
    "evaluate": ("tinytales.cli.evaluate", "Bits per byte and perplexity of a model on a text."),
    "export": ("tinytales.cli.export", "Turn a checkpoint into a small ONNX or GGUF bundle."),
    "verify": ("tinytales.cli.verify", "Prove that a bundle tells what its checkpoint tells."),
    "bench": ("tinytales.cli.bench", "Measure speed and memory, beside other engines."),
    "serve": ("tinytales.cli.serve", "Serve stories over an OpenAI-compatible endpoint."),
    "web": ("tinytales.cli.web", "Open the app in a browser on this machine."),
    "doctor": ("tinytales.cli.doctor", "Check this machine, the engines and the bundle."),
}


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and leave: 0 done, 1 failed, 2 bad usage, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode gets its ?s
    sys.exit(run(sys.argv[1:] if args is None else args))


def run(args: list[str]) -> int:
    """Run the command line; the exit code. Every way a command can end is told here."""
    try:
        code = dispatch(args)
        sys.stdout.flush()
    except TinytalesError as error:
        return fail(error.message, error.hint, error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away (`| head -1`): nothing is wrong. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return fail(f"{where}{error.strerror or error}", file_hint(error), 1)
    return code


def dispatch(args: list[str]) -> int:
    """Call the command that `args` name."""
    name = args[0] if args else ""
    if not args:
        return tell_something()
    if name in ("-h", "--help", "help"):
        print(overview())
        return 0
    if name == "--version":
        print(f"tinytales {__version__}")
        return 0
    if name.startswith("-"):  # options of the app: `tinytales --theme bedtime`
        return call("app", args)
    if name not in COMMANDS:
        return fail(
            f"there is no command {name!r}", f"{nearest(name, COMMANDS)} (tinytales --help)", 2
        )
    return call(name, args[1:])


def call(name: str, args: list[str]) -> int:
    """Run one command's typer app; click's own errors become ours."""
    import typer

    command = typer.main.get_command(importlib.import_module(COMMANDS[name][0]).app)
    try:
        code = command.main(args=args, prog_name=f"tinytales {name}", standalone_mode=False)
    except typer.Abort:
        return 130
    except SystemExit as leaving:
        if isinstance(leaving.__context__, OSError):  # click swallowed a closed pipe
            raise leaving.__context__ from None
        raise
    except Exception as error:
        # Typer brings its own copy of click in some versions: its errors are known by their form.
        if not hasattr(error, "format_message"):
            raise
        message = error.format_message().strip() or f"{name} needs arguments"
        return fail(message[0].lower() + message[1:], f"tinytales {name} --help", 2)
    return code if isinstance(code, int) else 0


def tell_something() -> int:
    """Bare `tinytales`: the app where there is a terminal for it, one plain story elsewhere."""
    if sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        return call("app", [])
    return call("tell", [])


def overview() -> str:
    """What `tinytales --help` prints."""
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {what}" for name, (_, what) in COMMANDS.items())
    return f"""tinytales: tiny language models that tell children's stories, offline.

Usage: tinytales [COMMAND] [OPTIONS]

Without a command: the app on a terminal, one story as plain text elsewhere.

{listed}

tinytales COMMAND --help tells more of each. --version prints the version."""


def file_hint(error: OSError) -> str:
    """What to do about a file error."""
    return {
        errno.ENOSPC: "the disk is full: free some space and try again",
        errno.EACCES: "you may not write there: choose another folder",
        errno.EROFS: "the disk is read-only: choose another folder",
    }.get(error.errno or 0, "")


def fail(message: str, hint: str = "", code: int = 1) -> int:
    """Two lines on stderr, and the exit code."""
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return code
