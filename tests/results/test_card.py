import json

import pytest
from huggingface_hub import ModelCard

from hf_scratch.data.labels import Labels
from hf_scratch.results.card import markdown_table, write_card
from hf_scratch.results.metrics import scoring_for
from hf_scratch.results.summary import Row

ROWS = [
    Row("scratch", {"accuracy": 0.7712, "macro_f1": 0.76}, {"accuracy": (0.745, 0.8), "macro_f1": (0.73, 0.79)}),
    Row("majority class", {"accuracy": 0.5, "macro_f1": 0.333}, {"accuracy": (0.47, 0.53), "macro_f1": (0.3, 0.36)}),
]
LABELS = Labels("classification", ("negative", "positive"))
SCORING = scoring_for(LABELS)
SENTENCE = "scratch is 27.1 points better than majority class."


@pytest.fixture
def write(tmp_path):
    def card(sentence=SENTENCE, config=None):
        folder = tmp_path / "my_run"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config or {}))
        write_card(str(folder), "scratch", "movie_reviews", "test", ROWS, sentence, LABELS, SCORING)
        return ModelCard.load(folder / "README.md")

    return card


def test_the_hub_can_read_the_results(write):
    data = write().data
    assert (data.library_name, data.pipeline_tag, data.tags) == ("transformers", "text-classification", ["hf_scratch"])
    found = {result.metric_type: result for result in data.eval_results}
    assert {name: result.metric_value for name, result in found.items()} == ROWS[0].values
    assert {(result.dataset_name, result.dataset_split) for result in found.values()} == {("movie_reviews", "test")}


def test_a_reader_sees_the_table_the_verdict_and_the_classes(write):
    text = write().text
    assert markdown_table(ROWS, SCORING) in text and SENTENCE in text
    assert "for movie_reviews with the classes negative, positive." in text and "## Results on the test part" in text


def test_the_table_is_markdown():
    assert markdown_table(ROWS, SCORING).splitlines() == [
        "| | accuracy | macro f1 |",
        "|---|---|---|",
        "| scratch | 77.1 [74.5, 80.0] | 76.0 [73.0, 79.0] |",
        "| majority class | 50.0 [47.0, 53.0] | 33.3 [30.0, 36.0] |",
    ]


@pytest.mark.parametrize(("config", "trust"), [({}, ""), ({"auto_map": {"AutoModel": "x.Y"}}, ", trust_remote_code=True")])
def test_the_usage_asks_for_trust_only_where_the_folder_carries_code(write, config, trust):
    assert f'pipeline("text-classification", model="my_run"{trust})' in write(config=config).text


def test_no_path_of_this_machine_is_in_the_card(write, tmp_path):
    assert str(tmp_path) not in str(write())


def test_without_baselines_there_is_no_empty_paragraph(write):
    assert "\n\n\n" not in write(sentence="").text.strip()
