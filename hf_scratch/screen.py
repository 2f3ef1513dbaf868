"""Text from files and data sets where it is looked at, on terminals, pages and cards: shown, never obeyed."""

import json
import re
import unicodedata

# Control characters move the cursor, clear the screen or rename the window; format characters turn text around.
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
KEPT = "\n\t\u200c\u200d\u200e\u200f"  # lines, columns, joiners inside of words and emoji, marks of Hebrew and Arabic


def plain(text: str) -> str:
    """`text` with every character that a terminal or a browser would obey written out, as Python writes it: \\x1b, \\u202e."""
    return written_out(text.replace("\r\n", "\n"), lambda character: ascii(character)[1:-1])


def one_line(text: str) -> str:
    """`plain`, with a space in place of each tab, line end and other white space."""
    return plain("".join(" " if character.isspace() else character for character in text))


def plain_json(text: str) -> str:
    """JSON with every character that a terminal would obey written out, as JSON writes it."""
    return written_out(text, lambda character: json.dumps(character)[1:-1])


def written_out(text: str, write) -> str:
    return re.sub("[^\n -~]", lambda found: write(found[0]) if is_unsafe(found[0]) else found[0], text)


def is_unsafe(character: str) -> bool:
    return character not in KEPT and unicodedata.category(character) in UNSAFE


def show(*words, **kwargs):
    """`print`, of plain text."""
    print(*(plain(str(word)) for word in words), **kwargs)
