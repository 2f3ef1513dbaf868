"""Weights to other people: everything that is saved here loads anywhere."""
