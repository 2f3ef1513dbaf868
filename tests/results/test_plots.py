import re

import numpy as np
import pytest

from hf_scratch.results import plots
from hf_scratch.results.calibration import Reliability

BINS = Reliability(np.array([0.5, 0.9]), np.array([0.4, 0.8]), np.array([3, 7]))
FIGURES = {
    "curves": lambda: plots.curves({"training": [(1, 0.7), (2, 0.5)], "validation": [(2, 0.6)]}, "loss", (0.69, "ln 2")),
    "schedule": lambda: plots.schedule([(1, 0.0), (2, 1e-3)]),
    "no_rate": lambda: plots.schedule([(1, 0.0)]),
    "intervals": lambda: plots.intervals([("ours $x^2", 0.7, 0.6, 0.8), ("theirs", 0.5, 0.4, 0.6)], "accuracy", 100),
    "reliability": lambda: plots.reliability_diagram(BINS, BINS),
    "lengths": lambda: plots.length_histogram(np.array([3, 5, 900]), np.array([4, 9, 1]), 128),
    "scatter": lambda: plots.scatter(np.array([1.0, 2.0]), np.array([1.5, 2.5]), "stars"),
    "confusion": lambda: plots.confusion_matrix(np.array([[3, 0], [1, 0]]), ["素晴らしい", "$\\frac{"]),
}


@pytest.mark.parametrize("name", [name for name in FIGURES if name != "confusion"])  # a page has a table in its place
def test_a_picture_takes_the_colours_of_the_page_and_no_others(name):
    """Every colour is a variable, so that light and dark both have all of them; black is matplotlib's default."""
    text = plots.svg(FIGURES[name](), name, "what it shows")
    colours = set(re.findall(r"#[0-9a-f]{6}", text))
    assert colours <= {"#000000"} and "var(--model)" in text and 'aria-label="what it shows"' in text
    assert 'width="' not in text.split(">")[0] and "viewBox" in text.split(">")[0]


def test_two_pictures_of_one_page_share_no_id():
    ids = [set(re.findall(r'id="([^"]+)"', plots.svg(FIGURES["curves"](), name, ""))) for name in ("one", "two")]
    assert ids[0] and not ids[0] & ids[1]


def test_a_picture_is_the_same_each_time(tmp_path):
    pictures = []
    for number in range(2):
        plots.png(FIGURES["confusion"](), tmp_path / f"{number}.png")
        pictures.append((tmp_path / f"{number}.png").read_bytes())
    assert pictures[0] == pictures[1] and pictures[0].startswith(b"\x89PNG")


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    points = [(step, step**0.5) for step in range(100_003)]
    steps, values = plots.thinned(points)
    assert len(steps) == 1000 and (steps[0], steps[-1]) == (0, 100_002) and values[-1] == 100_002**0.5
