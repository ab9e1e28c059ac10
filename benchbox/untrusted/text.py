"""Names and texts that strangers give: bounded, printable, and nothing that looks like another."""

import unicodedata
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0x180B, 0x1810), *range(0xE0100, 0xE01F0))
}
"""Characters that print as nothing, though Unicode counts them as letters, marks or symbols."""

_LATIN_ENDS = 0x250
"""From here on come phonetic letters, such as U+0251, that look like the alphabet's."""

_WRITTEN_TOGETHER = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)
"""Scripts that one text may mix: Unicode's highly restrictive level (UTS 39, section 5.2)."""

_TITLE_MARKS = frozenset("–—·×’“”")


def require_plain(text: str) -> str:
    """Return the text if it is one line that reads as what it is.

    Letters of any one script pass, accents included; Latin may stand beside Chinese, Japanese or
    Korean, as in many an author's name.

    Raises:
        ValueError: it is blank, has control, bidirectional or invisible characters, characters
            that stand for others (changed by NFKC), or mixes scripts.
    """
    if not text.strip():
        raise ValueError("expected one line of text")
    require_visible(text)
    if unicodedata.normalize("NFKC", text) != text:
        raise ValueError("has characters that stand for others: write it in Unicode's form NFKC")
    for char in text:
        # Stacked and enclosing marks can hide what they stand on.
        if unicodedata.category(char) == "Me" or _is_exotic_latin(char) or _is_other_digit(char):
            raise ValueError(f"has the look-alike character U+{ord(char):04X}")
    scripts = {_script(char) for char in text if char.isalpha()}
    if len(scripts) > 1 and not any(scripts <= allowed for allowed in _WRITTEN_TOGETHER):
        raise ValueError(f"mixes the scripts {', '.join(sorted(scripts)).title()}")
    return text


def require_visible(value: Any) -> Any:
    """Return a JSON value if all its texts and keys print as they are, on one line.

    Raises:
        ValueError: one has a control, bidirectional or invisible character.
    """
    if isinstance(value, str):
        for char in value:
            # Not printable: controls, formatting, lone surrogates, unassigned and private use.
            if not char.isprintable() or char in _INVISIBLE:
                raise ValueError(f"has the invisible or control character U+{ord(char):04X}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            require_visible(key)
            require_visible(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            require_visible(inner)
    return value


def require_title(text: str) -> str:
    """Return the text if it is plain and in Latin letters, with or without accents.

    A word written wholly in another script can look like a Latin name that stands on the board.

    Raises:
        ValueError: as for `require_plain`, or a character is neither a Latin letter nor common.
    """
    for char in require_plain(text):
        fine = char.isascii() or char in _TITLE_MARKS
        if not fine and not (char.isalpha() and _script(char) == "LATIN"):
            raise ValueError(f"has U+{ord(char):04X}; a title is in Latin letters")
    return text


def require_web_address(text: str) -> str:
    """Return the address if it is a plain http(s) one.

    Raises:
        ValueError: another scheme, no host by name, credentials, or characters that do not belong
            there. A name in Punycode is refused, since browsers print it as what it looks like.
    """
    if not text.isascii() or not text.isprintable() or any(char in text for char in ' \\"<>`{}|^'):
        raise ValueError("expected a web address of plain ASCII characters")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("expected a web address") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("expected an address that starts with https:// or http://")
    if "@" in parts.netloc:
        raise ValueError("expected an address without user name or password")
    labels = (host or "").split(".")
    numeric = labels[-1].isdecimal() or labels[-1].startswith("0x")
    if len(labels) < 2 or numeric or not all(_is_host_label(label) for label in labels):
        raise ValueError("expected an address with a host, such as https://example.org/paper")
    return text


def require_name(text: str) -> str:
    """Return the name if it can be a part of an entry's file name.

    Raises:
        ValueError: it has ``--``, which parts names there.
    """
    if "--" in text:
        raise ValueError("expected a name without --")
    return text


def _is_exotic_latin(char: str) -> bool:
    code = ord(char)
    if not char.isalpha() or not unicodedata.name(char, "").startswith("LATIN"):
        return False
    # The clicks U+01C0 to U+01C3 are letters that look like | and !.
    return 0x1C0 <= code <= 0x1C3 or _LATIN_ENDS <= code < 0x1E00 or code > 0x1EFF


def _is_other_digit(char: str) -> bool:
    return char.isdigit() and not char.isascii()


def _script(char: str) -> str:
    """Return the script of a letter: the first word of its name in Unicode."""
    return unicodedata.name(char, "UNKNOWN").split()[0].split("-")[0]


def _is_host_label(label: str) -> bool:
    plain = label.replace("-", "a").isalnum() and label[0] != "-" and label[-1] != "-"
    return plain and not label.startswith("xn--")


Name = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100),
    AfterValidator(require_name),
]
"""A registry's name, which is part of a file name."""

Backbone = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)?$", max_length=100),
    AfterValidator(require_name),
]
"""A backbone's name; timm's have one dot before the tag."""

Title = Annotated[str, Field(max_length=100), AfterValidator(require_title)]
Line = Annotated[str, Field(max_length=2_000), AfterValidator(require_plain)]
WebAddress = Annotated[str, Field(max_length=500), AfterValidator(require_web_address)]
