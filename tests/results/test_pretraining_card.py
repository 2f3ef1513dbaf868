from huggingface_hub import ModelCard

from hf_scratch.results.pretraining_card import describe, write_card
from hf_scratch.results.report import write_report
from tests.runs import make_pretraining

RESULTS = {"eval_mlm_loss": 2.5, "eval_mlm_accuracy": 0.5, "eval_pseudo_perplexity": 11.0, "eval_runtime": 3.0}


def test_the_card_is_one_that_the_hub_reads(tmp_path):
    folder = make_pretraining(tmp_path / "mine")
    write_report(str(folder))
    write_card(str(folder))
    card = ModelCard.load(folder / "README.md")
    assert card.data.pipeline_tag == "fill-mask"
    measured = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert measured["masked tokens: loss"] == 2.583 and measured["next sentence: accuracy"] == 0.88
    assert "# mine" in card.text and "| pseudo-perplexity | 13.7 |" in card.text
    assert "(report/mlm_accuracy.png)" in card.text and "| learning_rate | 0.01 |" in card.text
    assert "--train_file=wiki.parquet" in card.text and "/home/me" not in card.content and "<script" not in card.text
    assert "trust_remote_code" not in card.text and str(tmp_path) not in card.content


def test_code_in_the_folder_asks_for_trust_and_a_missing_picture_is_left_out(tmp_path):
    folder = make_pretraining(tmp_path / "mine")
    (folder / "config.json").write_text('{"auto_map": {}}')
    write_card(str(folder))
    text = (folder / "README.md").read_text("utf-8")
    assert "trust_remote_code=True" in text and "![" not in text and "\n\n\n" not in text


def test_one_line_for_the_terminal():
    line = describe(RESULTS)
    assert line == "  held out: masked tokens: loss 2.5, masked tokens: accuracy 50 %, pseudo-perplexity 11"
