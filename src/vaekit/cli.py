"""The command line: `vaekit COMMAND ...`. Asking for help imports nothing heavy."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

COMMANDS = {
    "fit": ("fit", "fit a model to data, by a recipe or by flags"),
    "evaluate": ("judge", "judge a run on held-out data: nats, bits/dim, active units"),
    "report": ("judge", "write a run's figures and its report, one HTML file"),
    "score": ("use", "score every row by how likely it is under a run's model"),
    "sample": ("use", "draw new data from a run's model"),
    "reconstruct": ("use", "pass data through a run's model and back"),
    "encode": ("use", "map data to latent codes"),
    "decode": ("use", "map latent codes to data"),
    "recipes": ("listing", "list the recipes, with their sources"),
    "data": ("listing", "say what a data source holds, and which likelihood suits it"),
}

USAGE = """usage: vaekit COMMAND [options]

Fit, judge and use variational autoencoders.

commands:
{commands}

  vaekit fit digits --run runs/digits          a recipe
  vaekit fit --data FOLDER --run runs/mine     your own images, table or arrays
  vaekit evaluate runs/mine --json             the numbers
  vaekit COMMAND --help                        every option of a command
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 0, or 2 for wrong input, or 128 plus the signal that stopped it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if given else 2
    if given[0] in ("-V", "--version"):
        from vaekit import __version__

        print(f"vaekit {__version__}")
        return 0
    if given[0] not in COMMANDS:
        near = get_close_matches(given[0], COMMANDS, 1)
        hint = f"; did you mean `{near[0]}`?" if near else "."
        print(f"vaekit: There is no command `{given[0]}`{hint} There are: {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    return run(given[0], given[1:])


def run(name: str, arguments: Sequence[str]) -> int:
    """Run one command, turning the errors that vaekit raises on purpose into one sentence.

    Classes of the user's own are found in the working folder.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    from vaekit.errors import VaekitError

    module = import_module(f"vaekit.commands.{COMMANDS[name][0]}")
    try:
        return int(getattr(module, name)(list(arguments)) or 0)
    except VaekitError as error:
        from vaekit.commands.as_flags import as_flags

        print(f"vaekit {name}: {as_flags(' '.join(str(error).split()), name)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def usage() -> str:
    """Return the help text."""
    return USAGE.format(commands="\n".join(f"  {name:12}{line}" for name, (_, line) in COMMANDS.items()))


if __name__ == "__main__":
    sys.exit(main())
