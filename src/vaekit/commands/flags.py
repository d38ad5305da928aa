"""The parsers of `vaekit fit` and `vaekit data`: every flag from a type annotation, every file a set of flags."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace, set_parsing_settings
from jsonargparse.typing import register_type

from vaekit import data, networks, objectives, posteriors, priors, recipes, training
from vaekit.commands.classes import own_class
from vaekit.commands.parser import Parser
from vaekit.composition import Composition, Description
from vaekit.data.reading import absolute_source
from vaekit.defaults import SAMPLES
from vaekit.errors import ConfigError, VaekitError
from vaekit.objectives import ELBO, Objective
from vaekit.runs.description import CONFIG, read_yaml
from vaekit.spec import import_object, keeping_checks
from vaekit.training import Settings

# Importing a room makes its classes known by their short names: `--prior StandardNormal`, `--objective IWAE`.
ROOMS = (data, networks, objectives, posteriors, priors, training)
# The class that an option of a class is taken for, where no class is named: `--network.hidden '[64]'`.
NETWORKS = {
    "network": "vaekit.networks.MLP",
    "encoder": "vaekit.networks.ConvEncoder",
    "decoder": "vaekit.networks.ConvDecoder",
}
# Those parts for which a class is usual, so that another one may be named.
REPLACED = ("objective", "optimizer", *NETWORKS)
NOT_KEPT = ("run", "resume", "restartable", "config")
CLOSING = """\
A part is a class: --prior StandardNormal, or --prior my_package.MyPrior. Its own options follow: --network MLP
--network.hidden '[512,512]'. To see them: --network.help MLP. Options of --network, --encoder and --decoder alone mean MLP,
ConvEncoder and ConvDecoder.

examples:
  vaekit fit digits --run runs/digits
  vaekit fit --data photographs --latent 64 --data.options Decoding --data.options.size 64
  vaekit fit --data table.csv --data.options Table --data.options.ignore '[comment]'
  vaekit fit digits --prior zuko.flows.NSF --prior.transforms 3
  vaekit fit mnist-bernoulli --objective IWAE --objective.samples 50
"""

set_parsing_settings(
    subclasses_enabled=["is_pure_dataclass"], instantiate_subclass_spec_in_any=False, import_path_denylist=["builtins"]
)

register_type(Description, serializer=lambda description: description.plain, deserializer=Description)


def fit_parser() -> Parser:
    """Build the parser of `vaekit fit`."""
    parser = Parser(
        prog="vaekit fit",
        usage="vaekit fit [RECIPE] [--data SOURCE] [--run DIR] [options]",
        description="Fit a model to data. RECIPE is a name that `vaekit recipes` lists, or a file of flags (YAML).",
        epilog=CLOSING,
    )
    parser.add_argument(
        "--config", action="config", help="a file of flags (YAML), as `--print_config` prints and a run keeps"
    )
    parser.add_argument(
        "--run", type=Path | None, default=None, help="the folder that keeps the run; runs/NAME if absent"
    )
    parser.add_argument("--resume", type=Path | None, default=None, help="continue the run in this folder")
    parser.add_argument(
        "--restartable", type=bool, default=False, help="continue the run in the folder of --run if there is one"
    )
    parser.add_argument(
        "--samples", type=int, default=SAMPLES, help="importance samples of the judgement at the end; 0 for none"
    )
    parser.add_argument("--figure_examples", type=int, default=2000, help="how many examples the figures show at most")
    parser.add_argument(
        "--figure_split", type=str | None, default=None, help="whose examples they are: train, validation, test"
    )
    span_help = "the range of both axes of the linear manifold; the range of the codes if absent"
    parser.add_argument("--figure_span", type=tuple[float, float] | None, default=None, help=span_help)
    parser.add_argument("--objective", type=Objective, default=ELBO(), help="what is minimised")
    parser.add_function_arguments(data.open, "data", fail_untyped=False)
    parser.add_class_arguments(Composition)
    parser.add_class_arguments(Settings)
    return parser


def data_parser() -> Parser:
    """Build the parser of `vaekit data`."""
    parser = Parser(
        prog="vaekit data",
        usage="vaekit data SOURCE [options]",
        description="Say what a data source holds, and which likelihood suits it.",
    )
    parser.add_function_arguments(data.open, "data", fail_untyped=False)
    return parser


def parse_fit(arguments: Sequence[str]) -> tuple[Namespace, dict[str, Any]]:
    """Parse flags; return the objects they make, and the flags as plain data for the run's configuration."""
    parser, given = fit_parser(), _expanded(arguments)
    usual = {part: path for part, path in NETWORKS.items() if any(word.startswith(f"--{part}.") for word in given)}
    for part, name in {**usual, **_named(given)}.items():
        action = next(action for action in parser._actions if action.dest == part)
        with suppress(ValueError, ImportError, AttributeError):  # what is no class is refused when it is parsed
            parser.set_defaults({part: {"class_path": own_class(action, name) or name}})
    with keeping_checks():
        parsed = parser.parse(given)
    parsed.data.source = absolute_source(parsed.data.source)
    made = getattr(parsed.data.options, "init_args", {})
    for name in ("labels", "cache"):
        if name in made:
            made[name] = absolute_source(made[name])
    _forget_guesses(parsed, yaml.safe_load(parser.dump(parsed, skip_default=True)))
    plain = yaml.safe_load(parser.dump(parsed, skip_unset=False))
    return instantiated(parser, parsed), {k: v for k, v in plain.items() if k not in NOT_KEPT}


def _forget_guesses(parsed: Any, chosen: Any) -> None:
    """Take away the defaults that jsonargparse found for a constructor's `**keywords`, which can be wrong.

    Arguments:
        parsed: what was parsed, changed in place.
        chosen: the same as plain data, without defaults.
    """
    if not isinstance(parsed, Namespace):
        return
    chosen = chosen if isinstance(chosen, dict) else {}
    if "class_path" in parsed and parsed.get("init_args"):
        parameters = inspect.signature(import_object(parsed.class_path)).parameters
        kept = {*parameters, *chosen.get("init_args", {})}
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            for name in set(vars(parsed.init_args)) - kept:
                delattr(parsed.init_args, name)
    for name, value in vars(parsed).items():
        _forget_guesses(value, chosen.get(name))


def instantiated(parser: Parser, parsed: Namespace) -> Namespace:
    """Make the objects that flags describe.

    Raises:
        VaekitError: of the object that cannot be made; a `ConfigError` where it raises something else.
    """
    try:
        made: Namespace = parser.instantiate(parsed)
    except Exception as error:
        causes: list[BaseException] = [error]
        while (cause := causes[-1].__cause__) is not None:
            causes.append(cause)
        own = next((cause for cause in causes if isinstance(cause, VaekitError)), None)
        raise own or ConfigError(f"The flags describe what cannot be made: {causes[-1]}") from error
    return made


def _expanded(arguments: Sequence[str]) -> list[str]:
    """Replace what is short for something longer: a recipe's name, `--data SOURCE`, and `--resume RUN`."""
    given = [source_flag(a) for a in arguments]
    if given and not given[0].startswith("-"):
        if (
            Path(given[0]).suffix not in recipes.SUFFIXES
            and Path(given[0]).exists()
            and given[0] not in recipes.names()
        ):
            raise ConfigError(f"`{given[0]}` is no recipe. To fit a model to it, write --data {given[0]}.")
        given[:1] = ["--config", str(recipes.find(given[0]))]
    for i, argument in enumerate(given):
        if argument.partition("=")[0] == "--resume":
            if not arguments[0].startswith("-"):
                raise ConfigError(f"`--resume` takes up a run with its own flags. Leave out `{arguments[0]}`.")
            folder = Path(argument.partition("=")[2] or "".join(given[i + 1 : i + 2]) or "--resume")
            read_yaml(folder, CONFIG)
            return ["--config", str(folder / CONFIG), *given]
    return given


def _named(given: Sequence[str]) -> dict[str, str]:
    """Return the class that is named for each part which has a usual one: arguments of the usual one are not handed on to it."""
    named: dict[str, str] = {}
    for word, following in pairwise([*given, ""]):
        flag, equals, value = word.partition("=")
        part, value = flag.removeprefix("--"), value if equals else following
        if part == "config" and Path(value).is_file():
            flags = _read(Path(value).read_text(encoding="utf-8"))
            named |= {name: _class_in(flags.get(name)) for name in REPLACED if isinstance(flags, dict)}
        elif part in REPLACED:
            named[part] = _class_in(_read(value))
    return {part: path for part, path in named.items() if path}


def _read(text: str) -> Any:
    """Read YAML; what is none is refused when it is parsed."""
    with suppress(yaml.YAMLError):
        return yaml.safe_load(text)
    return None


def _class_in(value: Any) -> str:
    """Return the class that a flag's value names; nothing where it names none."""
    named = value.get("class_path") if isinstance(value, dict) else value
    return named if isinstance(named, str) and re.fullmatch(r"[\w.]+", named) else ""


def source_flag(argument: str) -> str:
    """Write `--data` out, which is short for `--data.source`; leave other words as they are."""
    flag, equals, value = argument.partition("=")
    return "--data.source" + equals + value if flag == "--data" else argument


def run_folder(chosen: Path | None, name: str) -> Path:
    """Return the folder that was chosen, or the first free one of the form runs/NAME-1."""
    if chosen is not None:
        return chosen
    stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in name).strip("-") or "run"
    return next(p for i in range(1, sys.maxsize) if not (p := Path("runs") / f"{stem}-{i}").exists())
