"""Ways in which a file can be wrong: cut, overwritten, shifted, doubled, with extreme numbers or the wrong types."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zipfile

import numpy as np

_EXTREMES = (
    b"\0" * 8,
    b"\xff" * 8,
    struct.pack("<d", float("nan")),
    struct.pack("<f", 1e30) * 2,
    struct.pack("<q", 2**62),
    struct.pack("<h", -1) * 4,
    struct.pack("<h", 0x7FFF) * 4,
)
_TOKENS = ("null", "-1", "1e309", "[]", "{}", '"x"', "true", "0", "99999999999", "")
_HEADER = 540  # bytes of the longest header: NIfTI-2's


def spoil(raw: bytes, name: str, rng: np.random.Generator) -> bytes:
    """Another content for the file of that name, not the same as `raw`."""
    inside = rng.random() < 0.5
    if inside and raw[:2] == b"\x1f\x8b":
        spoilt = gzip.compress(spoil(gzip.decompress(raw), name.removesuffix(".gz"), rng), 1)
    elif inside and raw[:2] == b"PK":
        spoilt = _spoil_member(raw, rng)
    elif inside and name.endswith((".json", ".yml", ".xml")):
        tokens = re.split(r"([\s,:\[\]{}<>]+)", raw.decode())
        tokens[2 * int(rng.integers(0, (len(tokens) + 1) // 2))] = str(rng.choice(_TOKENS))
        spoilt = "".join(tokens).encode()
    else:
        spoilt = _spoil_bytes(raw, rng)
    return spoilt if spoilt != raw else raw[:-1]


def _spoil_member(raw: bytes, rng: np.random.Generator) -> bytes:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = str(rng.choice(sorted(members)))
    members[name] = spoil(members[name], name, rng)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member), content)
    return packed.getvalue()


def _spoil_bytes(raw: bytes, rng: np.random.Generator) -> bytes:
    """Cut, overwrite, shift or double some bytes, or set a field of the header to an extreme."""
    start, length = int(rng.integers(0, max(len(raw), 1))), int(2 ** rng.uniform(0, 8))
    end = min(start + length, len(raw))
    if rng.random() < 0.4:
        field = 2 * int(rng.integers(0, max(min(len(raw), _HEADER) // 2, 1)))
        value, width = _EXTREMES[int(rng.integers(len(_EXTREMES)))], int(rng.choice([2, 4, 8]))
        return raw[:field] + value[:width] + raw[field + width :]
    ways = (
        lambda: raw[:start],
        lambda: raw[:start] + rng.bytes(end - start) + raw[end:],
        lambda: raw[:start] + bytes(end - start) + raw[end:],
        lambda: raw[:start] + rng.bytes(length) + raw[start:],
        lambda: raw[:start] + raw[end:],
        lambda: raw[:end] + raw[start:],
    )
    return ways[int(rng.integers(len(ways)))]()
