"""Fonts that have the letters of a figure: tokens of any script, emoji."""

from __future__ import annotations

from functools import cache

__all__ = ["families", "legible"]


def legible(words: str) -> str:
    r"""Return words with each letter that no font of the machine has written as its code point, such as ``\u65e5``."""
    return "".join(c if c == "\n" or family_of(c) is not None else c.encode("unicode_escape").decode() for c in words)


def families(words: str) -> list[str]:
    """Return the families of fonts that words need beside the default one."""
    return [name for name in dict.fromkeys(map(family_of, words)) if name]


def family_of(letter: str) -> str | None:
    """Return the family of a font that has a letter: nothing for the default one, None where no font has it."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    if letter.isascii() and letter.isprintable():
        return ""
    return _family_of(letter, findfont(FontProperties()), len(fontManager.ttflist))


@cache
def _family_of(letter: str, default: str, fonts: int) -> str | None:
    """The same, of this many fonts: users choose another default, and add fonts."""
    from matplotlib.font_manager import fontManager

    if has(default, letter):
        return ""
    # the last resort has a box for every letter
    found = (each for each in fontManager.ttflist if not each.name.startswith(("Last Resort", "cm")))
    return next((each.name for each in found if has(each.fname, letter)), None)


def has(path: str, letter: str) -> bool:
    """Whether a font can draw a letter; one of bitmaps (emoji in colours) cannot be scaled, and draws none."""
    from matplotlib.font_manager import get_font

    try:
        font = get_font(path)
    except (OSError, RuntimeError):  # a font that was removed, or is of a kind that is not read
        return False
    return bool(font.scalable and font.get_char_index(ord(letter)))
