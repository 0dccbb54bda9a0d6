# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes from outside is data: decoded within bounds, checked for its form, and made printable. Pure.

A file on the node, the output of a program, the answer of a BMC, a guest's agent or a database may be damaged, of another
release, or made to do harm. ``decode`` and ``answering`` end every such case in one documented error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .errors import RefusalError

#: Bounds of one answer: characters, values (each comma and bracket may begin one), levels, digits of a number.
MOST_TEXT = 32 << 20
MOST_VALUES = 1_000_000
MOST_LEVELS = 64
_LONG_NUMBER = re.compile(r"[0-9]{400}")

#: What reading an answer of the wrong form raises; UnicodeDecodeError and binascii.Error are among the first.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError)


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number and what it counts."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


class AnswerError(ValueError):
    """An answer cannot be read; the text says why, as the end of a message."""


def decode(text: str | bytes | bytearray, form: Any = None, *, most: int = MOST_TEXT, values: int = MOST_VALUES) -> Any:
    """Return JSON's value, of the given form; ``AnswerError`` for everything else, however large, deep or damaged."""
    if len(text) > most:
        raise AnswerError(f"it has {len(text)} characters, at most {most} are accepted")
    try:
        read = text if isinstance(text, str) else text.decode("utf-8")
        if sum(read.count(mark) for mark in ",[{") > values:
            raise AnswerError(f"it has more than {values} values")
        if _LONG_NUMBER.search(read):
            raise AnswerError("it holds a number of more than 400 digits")
        value = json.loads(read, parse_constant=_refuse_constant)
    except AnswerError:
        raise
    except RecursionError:
        raise AnswerError(f"it is nested more than {MOST_LEVELS} levels deep") from None
    except UNREADABLE as error:
        raise AnswerError(f"it is no JSON: {plain(str(error), 120)}") from None
    _check_levels(value)
    if wrong := differs(value, form):
        raise AnswerError(wrong)
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _check_levels(value: Any) -> None:
    level = [value]
    for _depth in range(MOST_LEVELS):
        inner: list[Any] = []
        for item in level:
            inner += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        level = [item for item in inner if isinstance(item, (dict, list))]
        if not level:
            return
    raise AnswerError(f"it is nested more than {MOST_LEVELS} levels deep")


def differs(value: Any, form: Any, place: str = "it") -> str:
    """Return where a value differs from its form, an empty text where it does not.

    A form is None (anything), a type or several (bool is no int), a mapping of the keys that must exist to their forms (others
    may), a list of one form for every item, ``{str: form}`` for every value, or a function that returns what is wrong.
    """
    if form is None:
        return ""
    if isinstance(form, (type, tuple)):
        kinds = form if isinstance(form, tuple) else (form,)
        fine = isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)
        return "" if fine else f"{place} is {_kind(value)}, not {' or '.join(_NAMES.get(kind, kind.__name__) for kind in kinds)}"
    if isinstance(form, Mapping):
        return _differs_object(value, form, place)
    if isinstance(form, list):
        if not isinstance(value, list):
            return f"{place} is {_kind(value)}, not a list"
        return next(filter(None, (differs(item, form[0], f"{place}[{at}]") for at, item in enumerate(value))), "")
    wrong: str = form(value)
    return f"{place} {wrong}" if wrong else ""


def _differs_object(value: Any, form: Mapping[Any, Any], place: str) -> str:
    if not isinstance(value, dict):
        return f"{place} is {_kind(value)}, not an object"
    if str in form:
        pairs = [(key, form[str]) for key in value]
    else:
        missing = [key for key in form if key not in value]
        if missing:
            return f"{place} lacks {', '.join(missing)}"
        pairs = list(form.items())
    inside = "" if place == "it" else f"{place}."
    return next(filter(None, (differs(value[key], inner, plain(f"{inside}{key}", 120)) for key, inner in pairs)), "")


_NAMES = {
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), type(value).__name__)


@contextmanager
def answering(refusal: Callable[[str], Exception]) -> Iterator[None]:
    """Turn whatever reading an answer raises into ``refusal`` of the reason; refusals pass as they are."""
    try:
        yield
    except UNREADABLE as error:
        if isinstance(error, RefusalError) and not isinstance(error, ValueError):
            raise
        raise refusal(reason_of(error)) from None


def reason_of(error: BaseException) -> str:
    """Return in a few words why an answer could not be read."""
    if isinstance(error, (AnswerError, RefusalError)):
        return str(error)
    return plain(f"{type(error).__name__}: {error}", 160)


def plain(text: str, most: int = 0) -> str:
    """Return text that a terminal only shows: control characters, escape sequences and line ends are written as codes."""
    text = text[: most + 1] if most else text  # what is cut below needs no code
    shown = text if text.isprintable() else "".join(map(_visible, text))
    return shown if not most or len(shown) <= most else f"{shown[: most - 3]}..."


def printable(name: str) -> str:
    """Return a name without what a terminal or a log would take for more than text."""
    return "".join(character if character.isprintable() else "?" for character in name)


def printed(text: str) -> str:
    """Return ``plain`` text that keeps its lines and tabs."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(sign if sign in "\n\t" else _visible(sign) for sign in text)


def _visible(sign: str) -> str:
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode()
