"""Weights to numbers: metrics, their intervals, baselines to beat, and the files of a run."""
