"""A PNG writer whose bytes never change.

The hash of a generated picture decides its split and finds its cached embedding; a library's compressor may write other
bytes in its next version, so these files are written without compression (RFC 1951, stored blocks).
"""

import struct
import zlib

import numpy as np

from fovea.types import Pixels


def write_png(pixels: Pixels) -> bytes:
    """A PNG file of uint8 pixels, grey (H, W) or RGB (H, W, 3)."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    raw = np.pad(rows, ((0, 0), (1, 0))).tobytes()  # each row starts with its filter: 0, none
    blocks = [raw[start : start + 65535] for start in range(0, len(raw), 65535)]
    stream = b"\x78\x01" + b"".join(struct.pack("<BHH", block is blocks[-1], len(block), len(block) ^ 0xFFFF) + block for block in blocks)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if pixels.ndim == 2 else 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", stream + struct.pack(">I", zlib.adler32(raw)))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
