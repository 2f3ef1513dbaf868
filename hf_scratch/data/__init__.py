"""Text to batches: tasks (the table), sources, doctor, splits, tokenization, batching. Knows no model."""
