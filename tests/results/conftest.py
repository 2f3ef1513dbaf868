import pytest

from hf_scratch.results import encoder_speed, training_speed


@pytest.fixture
def tiny(monkeypatch):
    """A size, texts and windows for timing that take no time."""
    monkeypatch.setitem(encoder_speed.SIZES, "mini", (1, 12, 3, 17))
    monkeypatch.setattr(training_speed, "LONGEST", 13)
    monkeypatch.setattr(training_speed, "WINDOWS", 2)
    monkeypatch.setattr(training_speed, "VOCABULARY", 1009)
