"""The one kind of error that a user can mend."""


class UserError(ValueError):
    """What the user can mend. Its message gives the value, the rule and the remedy; commands exit with code 2."""


def closest(word: str, choices) -> str:
    """' Did you mean ...?' for the choice that looks most like `word`, or nothing."""
    import difflib

    near = difflib.get_close_matches(word, list(choices), n=1)
    return f" Did you mean {near[0]}?" if near else ""
