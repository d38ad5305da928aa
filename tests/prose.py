"""Reading the pages: their programs, the output they show, their commands, tables and links.

A block that opens with `python file=name.py` is part of that file, which lies beside the programs. The other blocks of Python
run in order, in one namespace, and a block of text behind one is what it prints.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*(?:e-?\d+)?")


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        language: what it is written in.
        file: the file that it is part of, if any.
        text: its contents.
        line: where it starts.
    """

    language: str
    file: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Cut a page into its blocks."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(match[1], match[2] or "", match[3], text.count("\n", 0, match.start()) + 1)
        for match in BLOCK.finditer(text)
    ]


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page tells of."""
    for block in blocks(page):
        if block.file:
            with (folder / block.file).open("a", encoding="utf-8") as file:
                file.write(block.text + "\n\n")


def programs(page: Path) -> Iterator[tuple[Block, str | None]]:
    """Yield the blocks of Python that run, each with the output that the page shows."""
    every = blocks(page)
    for block, following in zip_longest(every, every[1:]):
        if block.language == "python" and not block.file:
            yield block, following.text if following and following.language == "text" else None


def commands(page: Path) -> list[tuple[int, list[str]]]:
    """List the uses of `vaekit` in a page, each as its line and its arguments."""
    found = []
    for block in blocks(page):
        if block.language == "sh":
            lines = block.text.replace("\\\n", " ").splitlines()
            words = [shlex.split(line, comments=True) for line in lines]
            found += [(block.line, w[w.index("vaekit") + 1 :]) for w in words if "vaekit" in w and w[0] != "pip"]
    return found


def agree(printed: str, shown: str, tolerance: float = 0.05) -> bool:
    """Tell whether two outputs have the same words, and numbers that differ by a twentieth at most."""
    if NUMBER.sub("0", printed).split() != NUMBER.sub("0", shown).split():
        return False
    pairs = zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True)
    values = ((float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs)
    return all(abs(a - b) <= tolerance * max(abs(b), 1) for a, b in values)


def tables(page: Path) -> list[list[list[str]]]:
    """Read the tables of a page as rows of cells, without the line under the head."""
    found: list[list[list[str]]] = [[]]
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if set(line) - set("|-: "):
                found[-1].append(cells)
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def table(page: Path, corner: str) -> list[list[str]]:
    """Return the table of a page whose first cell has this text."""
    (found,) = (t for t in tables(page) if t[0][0] == corner)
    return found


def sections(page: Path) -> dict[str, str]:
    """Cut a page at its headings of the second level: title -> text."""
    _, *parts = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {title: text for title, _, text in (part.partition("\n") for part in parts)}


def quoted(cell: str) -> list[str]:
    """List what a cell sets in code."""
    return re.findall(r"`([^`]+)`", cell)


def links(page: Path) -> list[str]:
    """List the targets of a page's links and pictures that are not on the web."""
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    return [target for target in targets if "://" not in target]


def anchors(page: Path) -> set[str]:
    """List the anchors of a page's headings."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
