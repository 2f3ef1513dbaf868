"""Text from files and data sets on somebody's terminal: shown, never obeyed."""

import unicodedata

# Control characters move the cursor, clear the screen or rename the window; format characters turn text around.
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
KEPT = "\n\t\u200d"  # lines, columns, and the joiner inside of emoji


def plain(text: str) -> str:
    """`text` with every character that a terminal would obey written out, as Python writes it: \\x1b, \\u202e."""
    return "".join(
        character if character in KEPT or unicodedata.category(character) not in UNSAFE else ascii(character)[1:-1]
        for character in text
    )


def show(*words, **kwargs):
    """`print`, of plain text."""
    print(*(plain(str(word)) for word in words), **kwargs)
