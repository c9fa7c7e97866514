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
_PASSWORD = re.compile(r"\b(?!ssh://)([A-Za-z][\w+.-]*://)[^\s/\"'<>]*@", re.ASCII)
_SSH_PASSWORD = re.compile(r"\b(ssh://[^\s/@:]+):[^\s/\"'<>]*@")


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
    """Addresses in the text without user and password: `http://USER:WORD@HOST` becomes `http://***@HOST`."""
    if "://" not in text:
        return text
    return _SSH_PASSWORD.sub(r"\1:***@", _PASSWORD.sub(r"\1***@", text))


def shown(text: str) -> str:
    """What may leave for a terminal or a log, line breaks included: printable, and without passwords."""
    return printable(without_passwords(text), lines=True)
