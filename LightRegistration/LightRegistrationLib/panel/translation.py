"""Translation of the panel's texts through Slicer, under a context that no other extension shares.

Slicer's `_()` derives the context from the last folder and the file name (`panel.inputs`), which another extension may
use too. Therefore each call names the context itself: `translate("LightRegistration", "Text")`. Slicer's tool that
collects texts (Qt's lupdate) finds a call only if its name is `translate` and both arguments are string literals.
"""

from __future__ import annotations

import logging
import string

import slicer.i18n


def translate(context: str, text: str) -> str:
    """Return the text in the language of the application.

    A translation whose placeholders differ from those of the text is not used, because `format` would fail on it.
    """
    translated = slicer.i18n.translate(context, text)
    if _find_placeholders(translated) == _find_placeholders(text):
        return translated
    logging.warning("LightRegistration: placeholders differ in the translation of %r: %r", text, translated)
    return text


def _find_placeholders(text: str) -> set[str] | None:
    """Return the names in braces; None if the braces do not match."""
    try:
        return {name for _literal, name, _format, _conversion in string.Formatter().parse(text) if name is not None}
    except ValueError:
        return None
