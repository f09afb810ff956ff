"""Fill an HTML page in one pass, every value escaped for the place where it stands.

A mark is `@@name:context@@`; the context is `text` (escaped for elements and quoted attributes), `json` (inside a
script element of JSON) or `html` (only for what was made by `Html`). What is filled in is never looked at again, so
no value can hold a mark.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from typing import Any

from mdcsrn_tf.names import readable

_MARK = re.compile(r"@@(?P<name>\w+):(?P<context>text|html|json)@@")
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


class Html(str):
    """Markup whose parts were escaped when it was made."""

    __slots__ = ()


def fill(template: str, values: Mapping[str, Any]) -> str:
    """`template` with every mark replaced; a mark without a value, or a value without a mark, is a mistake."""
    used = set()

    def replacement(match: re.Match[str]) -> str:
        used.add(match["name"])
        return _escaped(values[match["name"]], match["context"])

    filled = _MARK.sub(replacement, template)
    if used != set(values):
        raise ValueError(f"the page has no place for {sorted(set(values) - used)}")
    return filled


def text(value: object) -> Html:
    """Any text as markup: bytes of a file name that are no UTF-8 are spelled out.

    >>> text('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return Html(html.escape(readable(str(value))))


def policy_for(template: str) -> str:
    """A content security policy that allows the page's own scripts alone, pictures within it, and no network."""
    digests = [hashlib.sha256(script.encode("utf-8")).digest() for script in _SCRIPT.findall(template)]
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {scripts}"


def _escaped(value: Any, context: str) -> str:
    if context == "html":
        if not isinstance(value, Html):
            raise TypeError("only Html goes into a page as it is")
        return str(value)
    if context == "json":
        # No character that could end the script element; JSON's own escapes stand for them.
        encoded = json.dumps(value, ensure_ascii=True)
        return encoded.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return str(text(value))
