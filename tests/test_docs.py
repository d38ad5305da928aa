"""The pages say what is so: their programs run and print what they show, their commands work, their links lead somewhere.

So do the examples of docstrings: whoever pastes one into a new session sees what it shows.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prose import PAGES, ROOT, agree, anchors, commands, links, programs, quoted, sections, table, write_files
from surface import examples, examples_of

from vaekit import cli
from vaekit.commands.flags import parse_fit
from vaekit.commands.parser import Parser

by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
LONG = re.compile(r"\bepochs=\d\d+")
REFERENCE = ROOT / "docs" / "commands.md"
FLAG = re.compile(r"^ +(--[\w.]+)", re.MULTILINE)


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, from which modules are imported, and forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "/").parent == tmp_path:
            del sys.modules[name]


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fit the digits for one epoch."""
    folder = tmp_path_factory.mktemp("small") / "run"
    settings = ["--epochs=1", "--samples=0", "--progress=false", "--network.hidden=[16]"]
    assert cli.main(["fit", "digits", *settings, f"--run={folder}"]) == 0
    return folder


@by_name
def test_the_programs_of_a_page_run_and_print_what_it_shows(page: Path, beside: Path):
    write_files(page, beside)
    namespace = {"__name__": page.stem}
    for block, shown in programs(page):
        text = LONG.sub("epochs=2", block.text) if page.stem == "README" else block.text
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * block.line + text, str(page), "exec"), namespace)
        assert shown is None or agree(printed.getvalue(), shown), f"line {block.line} printed:\n{printed.getvalue()}"


@by_name
def test_the_commands_of_a_page_work(page: Path, beside: Path, small_run: Path, monkeypatch: pytest.MonkeyPatch):
    """Fits are parsed; all else runs, on a small run and small pictures."""
    write_files(page, beside)
    monkeypatch.setenv("XDG_CACHE_HOME", str(beside / "cache"))
    for name in ("runs/digits", "runs/photographs"):
        shutil.copytree(small_run, beside / name)
    (beside / "flags.yaml").write_text("data: {source: digits}\n", encoding="utf-8")
    (beside / "photographs").mkdir()
    for i in range(10):
        Image.fromarray(np.full((4, 5, 3), i, np.uint8)).save(beside / "photographs" / f"{i}.png")
    for line, words in commands(page):
        if words[0] == "fit" and not {"--help", "--print_config"} & set(words):
            with monkeypatch.context() as patch:
                parse_only(patch)
                assert parse_fit(words[1:]), f"line {line}"
        else:
            assert exit_code(quick(words)) == 0, f"line {line}: {' '.join(words)}"


@pytest.mark.parametrize(
    "words", [["sample", "runs/digits", "--cuont", "4"], ["evaluate"], ["fit", "digits", "--depth", "4"], ["fir"]]
)
def test_a_command_that_is_wrong_is_noticed(words: list[str]):
    assert exit_code(words) == 2


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name != "fit"])
def test_the_options_of_a_command_are_those_that_the_page_lists(name: str, capsys: pytest.CaptureFixture[str]):
    assert exit_code([name, "--help"]) == 0
    told = set(FLAG.findall(capsys.readouterr().out)) - {"--help"}
    assert told == listed_options(name)


def test_the_options_of_fit_are_those_that_the_pages_list(capsys: pytest.CaptureFixture[str]):
    assert exit_code(["fit", "--help"]) == 0
    told = set(FLAG.findall(capsys.readouterr().out)) - {"--help", "--print_config"}
    settings = {f"--{name}" for row in table(ROOT / "docs" / "training.md", "setting")[1:] for name in quoted(row[0])}
    assert told == listed_options("fit") | settings


@pytest.mark.parametrize(
    ("printed", "same"), [("a 1.02 b", True), ("a 1.2 b", False), ("a 1.0 c", False), ("a 1.0", False)]
)
def test_outputs_are_told_apart(printed: str, same: bool):
    assert agree(printed, "a  1.00\nb\n") is same


@by_name
def test_links_lead_to_files_and_headings(page: Path):
    for path, _, heading in (target.partition("#") for target in links(page)):
        file = page.parent / path if path else page
        assert file.exists(), f"there is no {path}"
        assert not heading or heading in anchors(file), f"there is no heading {heading} in {file.name}"


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.stem)
def test_the_first_page_names_every_page(page: Path):
    assert f"docs/{page.name}" in PAGES[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_the_example_of_what_is_public_imports_what_it_uses(
    example: doctest.DocTest, beside: Path, pytestconfig: pytest.Config
):
    assert not complaints(example, pytestconfig.getini("doctest_optionflags"))


def test_there_are_examples_in_every_room():
    found = {example.name for example in examples()}
    assert found >= {"VAE", "data.open", "priors.StandardNormal", "objectives.Linear", "likelihoods.columns.Real"}


def test_an_example_that_imports_too_little_is_noticed():
    def needy() -> None:
        """Do nothing.

        >>> io.StringIO("text").read()
        'text'
        """

    (example,) = examples_of("needy", needy)
    assert "NameError: name 'io' is not defined" in complaints(example)


def complaints(example: doctest.DocTest, options: Iterable[str] = ()) -> str:
    """Run an example, and return what is wrong with it."""
    printed = io.StringIO()
    flags = sum(doctest.OPTIONFLAGS_BY_NAME[name] for name in options)
    doctest.DocTestRunner(verbose=False, optionflags=flags).run(example, out=printed.write)
    return printed.getvalue()


def parse_only(patch: pytest.MonkeyPatch) -> None:
    """Leave out what follows parsing: making the objects, and writing their configuration."""
    patch.setattr(Parser, "instantiate", lambda parser, flags: flags)
    patch.setattr(Parser, "dump", lambda parser, flags, **options: "{}")


def quick(words: list[str]) -> list[str]:
    """Ask for fewer importance samples."""
    return ["2" if before == "--samples" else word for before, word in zip(["", *words], words, strict=False)]


def exit_code(words: list[str]) -> int:
    """Run a command, and return its exit code."""
    try:
        return cli.main(words)
    except SystemExit as error:
        return int(error.code or 0)


def listed_options(name: str) -> set[str]:
    """Return the options that the page of commands lists for a command."""
    (section,) = (text for title, text in sections(REFERENCE).items() if name in title.split())
    part = section.rpartition(f"ptions of `{name}`")[2].partition("ptions of")[0]
    return {option for line in part.splitlines() if line.startswith("|") for option in quoted(line.split("|")[1])}
