"""People's names for their files, wherever they have to go: into text, a picture, another file's name."""

from __future__ import annotations

import hashlib

_LONGEST = 255  # bytes that a file's name may have, on Linux's usual file systems


def readable(text: str) -> str:
    """`text` that any writer takes: bytes of a file's name that are no UTF-8 are spelled out (`\\udcff`)."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def for_picture(text: str) -> str:
    """`text` as Matplotlib draws it to the letter: a dollar sign begins no formula."""
    return readable(text).replace("$", r"\$")


def digest_of(text: str) -> bytes:
    """SHA-256 of a name, of whatever bytes it is made."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def fitting_name(stem: str, suffix: str) -> str:
    """`stem + suffix`; where that is too long for a file's name, the stem's end becomes a hash of all of it."""
    whole = stem.encode("utf-8", "surrogateescape")
    room = _LONGEST - len(suffix.encode("utf-8", "surrogateescape"))
    if len(whole) <= room:
        return stem + suffix
    kept = whole[: room - 9].decode("utf-8", "ignore")
    return f"{kept}-{digest_of(stem).hex()[:8]}{suffix}"
