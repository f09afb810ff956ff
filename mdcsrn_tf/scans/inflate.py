"""The bytes of a scan's file, decompressed no further than a scan can need."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from mdcsrn_tf.errors import UserError

# A scan compresses ten times, a synthetic one perhaps fifty: a file that claims more is made to fill the memory. Up to
# the size of a large scan nothing is asked.
_RATIO, _ALWAYS_ALLOWED = 100, 1 << 29
_PIECE = 1 << 20


def read_scan_bytes(path: Path) -> bytes:
    """The whole file, decompressed if it is gzip's; to the end, so that the checksum of the whole is verified.

    ValueError or zlib.error where it is damaged, UserError where it grows beyond any scan of its size.
    """
    with path.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            return path.read_bytes()
        stream.seek(0)
        limit = max(_ALWAYS_ALLOWED, _RATIO * os.fstat(stream.fileno()).st_size)
        pieces, total = [], 0
        decompressor = zlib.decompressobj(wbits=31)
        waiting = b""
        while waiting or (waiting := stream.read(_PIECE)):
            if decompressor.eof:
                if not waiting.strip(b"\0"):
                    waiting = b""  # padding, as tapes have it
                    continue
                decompressor = zlib.decompressobj(wbits=31)  # gzip files may be strung together
            pieces.append(decompressor.decompress(waiting, _PIECE))
            waiting = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
            total += len(pieces[-1])
            if total > limit:
                raise UserError(
                    f"{path} grows to more than {limit >> 20} MiB when it is decompressed, far more than a scan of its "
                    "size can hold; export or download it again."
                )
        if not decompressor.eof:
            raise ValueError("its compressed data end too early")
    return b"".join(pieces)
