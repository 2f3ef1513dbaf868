import pytest

from hf_scratch.errors import UserError, closest


def test_a_user_error_is_a_value_error():
    with pytest.raises(ValueError, match="mend me"):
        raise UserError("mend me")


@pytest.mark.parametrize(("word", "hint"), [("hiden_size", " Did you mean hidden_size?"), ("zebra", "")])
def test_the_closest_choice_is_named_where_one_is_close(word, hint):
    assert closest(word, {"hidden_size": 2, "vocab_size": 3}) == hint
