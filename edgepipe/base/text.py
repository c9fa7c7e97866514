"""Text that came from elsewhere, as a person may read it: nothing in it is obeyed by a terminal, no password shown.

Names of files are bytes to the system: Python keeps those that are no UTF-8 as lone surrogates, which no encoder
takes. They stay as they are wherever a file is opened, and become `\\xe9` where they are shown.
"""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp", "Co")
"""Controls (C0, C1, escape), invisible format characters (bidi overrides, zero-width), surrogates, line separators."""
_JOINERS = "\u200c\u200d\u00ad"
"""Zero-width (non-)joiner, soft hyphen: parts of words in scripts that need them, and harmless."""
# Texts from elsewhere may be megabytes long, so none of these may read all the rest again at each letter: a scheme has
# few letters (the last ones of a longer word count), and what begins at each `/` or `?` ends at the next.
_SCHEME = r"[A-Za-z][\w+.-]{1,30}:"
_ADDRESS = re.compile(rf"(?:{_SCHEME}/{{1,2}}|(?<![\w:/])//)[^\s\"<>]+", re.ASCII)
"""With one slash too: a path of Python's makes it so."""
_USER = re.compile(rf"(?!ssh:)({_SCHEME}//)[^\s/\"'<>]*@", re.ASCII)
_SSH_PASSWORD = re.compile(r"(ssh://[^\s/@:]+):[^\s/\"'<>]*@")
_WORD = re.compile(rf"((?:{_SCHEME})?/{{1,2}})[^\s/@:]*:(?!\d+(?:[/?#]|$))(?=\S)", re.ASCII)
"""USER: of USER:WORD@, see `_word`; HOST:PORT/… is none."""
_WEB_USER = re.compile(r"https?://[^\s/:@]+@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"([?&;#](?:[\w.-]*(?:passw(?:or)?d|passphrase|pwd|token|secret|api[_-]?key|access[_-]?key(?:[_-]?id)?"
    r"|credentials?|signature)|pass|key|sig|auth)=)[^&;#\s\"'<>]+",
    re.IGNORECASE | re.ASCII,
)
"""A setting of an address that lets its bearer in, as `?token=…` or `&sslpassword=…`."""


def printable(text: str, *, lines: bool = False) -> str:
    """Escape what a terminal would obey or hide; everything else, in any script, stays.

    Args:
        lines: keep line breaks and tabs; else they are escaped too, so that one text stays one line.
    """
    return "".join(letter if _shows(letter, lines) else _escaped(letter) for letter in text)


def _shows(letter: str, lines: bool) -> bool:
    if " " <= letter <= "~":
        return True
    if letter in "\n\t":
        return lines
    return letter in _JOINERS or unicodedata.category(letter) not in _HIDDEN


def _escaped(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file's name
        return f"\\x{code - 0xDC00:02x}"
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(letter)
    return short or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def without_passwords(text: str) -> str:
    """Addresses without user, password and token: `http://USER:WORD@HOST/?token=T` is `http://***@HOST/?token=***`."""
    return _ADDRESS.sub(lambda found: _hidden(found[0]), text) if "/" in text else text


def _hidden(address: str) -> str:
    plain = _PARAMETER.sub(r"\1***", address)
    if plain.startswith("ssh://"):
        return _SSH_PASSWORD.sub(r"\1:***@", plain)
    found = _word(plain)
    if found is not None:
        plain = f"{plain[: found.start()]}{found[1]}***{plain[plain.rindex('@') :]}"
    return _USER.sub(r"\1***@", plain)


def _word(address: str) -> re.Match[str] | None:
    """Where USER:WORD@ begins; it ends at the last `@`, for a word may hold one."""
    found = _WORD.search(address)
    return found if found is not None and found.end() < address.rfind("@") else None


def holds_password(text: str) -> bool:
    """Whether an address in the text carries a password or a token; what `${…}` will fill in does not count."""
    plain = re.sub(r"\$\{[^{}]*\}", "", text)
    return any(
        _word(found[0]) or any(pattern.search(found[0]) for pattern in (_SSH_PASSWORD, _WEB_USER, _PARAMETER))
        for found in _ADDRESS.finditer(plain)
    )


def shown(text: str) -> str:
    """What may leave for a terminal or a log, line breaks included: printable, and without passwords."""
    return printable(without_passwords(text), lines=True)
