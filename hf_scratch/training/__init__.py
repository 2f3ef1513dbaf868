"""Batches to weights: the arguments, the model that they name, and the Trainer."""
