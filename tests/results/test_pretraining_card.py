from huggingface_hub import ModelCard

from hf_scratch.results.pretraining_card import describe, write_card

RESULTS = {"eval_mlm_loss": 2.5, "eval_mlm_accuracy": 0.5, "eval_pseudo_perplexity": 11.0, "eval_runtime": 3.0}


def test_the_card_is_one_that_the_hub_reads(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    write_card(str(folder), "scratch", "wiki.parquet", "mlm", RESULTS)
    card = ModelCard.load(folder / "README.md")
    assert card.data.pipeline_tag == "fill-mask"
    assert "# mine" in card.text and "| pseudo-perplexity | 11 |" in card.text and "next sentence" not in card.text
    assert "trust_remote_code" not in card.text and str(tmp_path) not in card.content
    (folder / "modeling_scratch.py").write_text("")
    write_card(str(folder), "scratch", "wiki.parquet", "mlm+nsp", RESULTS | {"eval_nsp_accuracy": 0.9})
    card = ModelCard.load(folder / "README.md")
    assert "trust_remote_code=True" in card.text and "| next sentence: accuracy | 0.9 |" in card.text


def test_one_line_for_the_terminal():
    line = describe(RESULTS)
    assert line == "  held out: masked tokens: loss 2.5, masked tokens: accuracy 0.5, pseudo-perplexity 11"
