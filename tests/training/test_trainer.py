import pytest
import torch
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments

from hf_scratch import ScratchConfig, ScratchForSequenceClassification
from hf_scratch.training.trainer import ClassificationTrainer

SIZES = {
    "vocab_size": 31,
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 17,
    "max_position_embeddings": 13,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
MODELS = [(ScratchConfig, ScratchForSequenceClassification), (BertConfig, BertForSequenceClassification)]


def one_step(model, folder, batch_size: int, accumulation: int):
    """Train one step on the same 32 rows; the logged loss and gradient norm, and the weights."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 31, (32, 7), generator=generator)
    rows = Dataset.from_dict({"input_ids": ids.tolist(), "labels": [row % 2 for row in range(32)]})
    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        max_steps=1,
        logging_steps=1,
        learning_rate=1e-3,
        optim="sgd",
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    trainer = ClassificationTrainer(model=model, args=args, train_dataset=rows)
    trainer.train()
    logged = trainer.state.log_history[0]
    return logged["loss"], {name: weight.detach().clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize(("config_class", "model_class"), MODELS)
def test_accumulating_four_batches_of_eight_is_one_batch_of_32(config_class, model_class, tmp_path):
    torch.manual_seed(0)
    model = model_class(config_class(**SIZES)).double()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss, weights = one_step(model, tmp_path, 32, 1)
    model.load_state_dict(start)
    accumulated_loss, accumulated_weights = one_step(model, tmp_path, 8, 4)
    assert accumulated_loss == pytest.approx(loss, rel=1e-9)
    for name, weight in weights.items():
        torch.testing.assert_close(accumulated_weights[name], weight, rtol=1e-9, atol=1e-12)
