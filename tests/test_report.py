"""The report: one page that needs nothing else, says what was measured, and cannot be broken by what it shows."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painting import painting
from PIL import Image

from vaekit import VAE, data, evaluation, figures, likelihoods, networks, posteriors, priors
from vaekit.runs.report import report, title_of

VOID = {"meta", "img", "br", "link", "hr"}
NASTY = "<script>alert('x')</script> & \"quoted\" {{ title }}"


class Page(HTMLParser):
    """Reads a page: its tags, its attributes and its text, and that every tag is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def judged(relaxed: bool = False, examples: int = 1200) -> evaluation.Evaluation:
    likelihood = likelihoods.Bernoulli(networks.MLP(2, 4), (1, 2, 2), relaxed=relaxed)
    model = VAE(priors.StandardNormal(2), posteriors.DiagonalNormal(networks.MLP(4, 4)), likelihood)
    return evaluation.evaluate(model, [torch.randint(2, (examples, 1, 2, 2)).float()], samples=2)


HISTORY = {
    "train": {"step": [5, 10], "epoch": [1, 2], "loss": [9.0, 7.25], "l2": [0.5, 0.25]},
    "test": {"step": [10], "loss": [8.5]},
}


def page_of(folder: Path, **parts: Any) -> Page:
    """Return the page of a report of which only some parts are given."""
    nothing = {"summary": "s", "evaluations": {}, "figures": (), "history": {}, "configuration": ""}
    return Page(report(folder / "r.html", **{"title": "t", **nothing, **parts}))


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Page:
    wanted = tmp_path_factory.mktemp("report") / "new" / "report.html"
    gallery = figures.illustrate(painting(log_scale=-1.0), [torch.rand(9, 1, 2, 2)])
    path = report(
        wanted,
        title=NASTY,
        summary=f"VAE(\n  {NASTY}\n)",
        evaluations={NASTY: judged()},
        figures=[*gallery, figures.Illustration(NASTY, np.zeros((3, 4), np.uint8), NASTY)],
        history={**HISTORY, NASTY: {NASTY: [1.0]}},
        configuration=f"note: {NASTY}\nepochs: 3",
    )
    assert path == wanted
    return Page(path)


def test_the_page_needs_no_other_file(full):
    assert {name for name, _ in full.tags}.isdisjoint({"script", "link", "iframe", "object", "base"})
    addresses = [value for _, attributes in full.tags for name, value in attributes.items() if name in ("src", "href")]
    assert len(addresses) == 11
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"base64,[^\"]+", "", full.source))


def test_pictures_are_whole_and_of_the_stated_size(full):
    for attributes in full.named("img"):
        content = base64.b64decode(attributes["src"].partition(",")[2], validate=True)
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == (int(attributes["width"]), int(attributes["height"]))
        assert attributes["alt"]


def test_what_a_user_gives_is_shown_and_not_obeyed(full):
    assert full.text.count(NASTY) == 9
    assert "<script" not in full.source


def test_numbers_have_units_errors_and_meanings(full):
    found = judged()
    for finding in found.findings():
        assert finding.name in full.text
        assert finding.meaning in full.text
    assert full.text.count("±") > 5
    assert "1,200 examples" in full.text
    assert "bits per dimension by importance sampling" in full.text


def test_the_last_record_of_every_split_is_shown(full):
    rows = re.findall(r'<tr><th scope="row">(train|test)</th>(.*?)</tr>', full.source)
    cells = {split: re.findall(r">([^<]*)</td>", row)[:4] for split, row in rows}
    assert cells == {"train": ["10", "2", "7.25", "0.25"], "test": ["10", "", "8.5", ""]}


WHOLE = {"step": [5, 10], "epoch": [1, 2], "loss": [8.0, 7.0]}


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ({"step": [5, 10], "loss": [9.0, 6.0], "rate": [1.0, 2.0]}, [("train", ["10", "7", "2", "2"])]),
        ({"step": [5, 12], "loss": [9.0, 6.0]}, [("train, whole epoch", ["10", "2", "7"]), ("train", ["12", "", "6"])]),
    ],
)
def test_one_row_says_how_training_ended(tmp_path, train, told):
    history = {"train": train, "epoch": WHOLE}
    page = page_of(tmp_path, history=history)
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th>(.*?)</tr>', page.source)
    assert [(split, re.findall(r">([^<]*)</td>", row)) for split, row in rows] == told
    assert ("means over the last epoch" in page.text) == (len(told) == 1)


def test_figures_are_shown_in_their_order(tmp_path):
    names = ["b", "a", "d", "c"]
    pictures = [figures.Illustration(name, np.zeros((3, 4), np.uint8), "A caption.") for name in names]
    assert [f["id"] for f in page_of(tmp_path, figures=pictures).named("figure")] == names


@pytest.mark.parametrize(
    ("folder", "title"), [("wide", "digits: wide"), ("digits", "digits"), ("digits-1", "digits-1")]
)
def test_a_title_says_nothing_twice(folder, title):
    assert title_of(data.open("digits"), Path("runs") / folder) == title


def test_the_configuration_can_be_copied_and_run(full):
    assert "epochs: 3" in full.text
    assert "vaekit fit --config config.yaml" in full.text


@pytest.mark.parametrize("relaxed", [False, True])
def test_relaxed_numbers_are_announced(tmp_path, relaxed):
    page = page_of(tmp_path, evaluations={"test": judged(relaxed)})
    assert ([p["class"] for p in page.named("p") if p.get("class") == "warning"] == ["warning"]) == relaxed
    assert ("ELBO (relaxed)" in page.text) == relaxed


def test_one_example_is_no_plural(tmp_path):
    page = page_of(tmp_path, evaluations={"test": judged(examples=1)})
    assert "1 example;" in page.text


def test_several_evaluations_are_told_apart(tmp_path):
    page = page_of(tmp_path, evaluations={"validation": judged(), "test": judged()})
    assert [label in page.text for label in ("validation, 1,200", "test, 1,200")] == [True, True]


def test_a_report_of_nothing_but_the_model(tmp_path):
    page = page_of(tmp_path, summary="the model", configuration="a: 1")
    assert "the model" in page.text
    assert "a: 1" in page.text
    assert not page.named("table")
    assert not page.named("img")


def test_a_report_replaces_the_old_one_whole(tmp_path):
    for title in ("first", "second"):
        page = page_of(tmp_path, title=title)
    assert "second" in page.text
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
