"""Content that shows whether it is as it was written: with a checksum at its end, or at the end of each of its lines.

A kill leaves a file short, a power cut leaves zeros in a file of the right length, a disk or a hand changes bytes.
"""

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

LENGTH = 8
"""Bytes of a seal: a mark, and the CRC-32 of what stands before it."""
MARK = b"CRC1"
SEALED_LINE = re.compile(rb'(\{.*), "crc32": "([0-9a-f]{8})"\}')


class DamagedError(ValueError):
    """Content that is not as it was written; the text says how that shows, without a file's name."""


def seal(content: bytes) -> bytes:
    """Content with its seal behind it."""
    return content + MARK + zlib.crc32(content).to_bytes(4, "little")


def unseal(content: bytes) -> bytes:
    """What was sealed. Raises DamagedError when it has changed since."""
    body, mark, checksum = content[:-LENGTH], content[-LENGTH:-4], content[-4:]
    if mark != MARK:
        raise DamagedError("it does not end as it was written" if content else "it is empty")
    if zlib.crc32(body) != int.from_bytes(checksum, "little"):
        raise DamagedError("its checksum is another")
    return body


def seal_line(values: Mapping[str, Any]) -> str:
    """A line of JSON with its seal, the end of the line included."""
    body = json.dumps(values)[:-1]
    return f'{body}, "crc32": "{zlib.crc32(body.encode()):08x}"}}\n'


def unseal_line(line: bytes) -> dict[str, Any]:
    """The values of a line, given without its end. Raises DamagedError when it has changed since."""
    sealed = SEALED_LINE.fullmatch(line)
    if not sealed or zlib.crc32(sealed[1]) != int(sealed[2], 16):
        raise DamagedError("its checksum is another" if sealed else "it has no checksum")
    values: dict[str, Any] = json.loads(sealed[1] + b"}")
    return values


def whole_lines(content: bytes) -> list[bytes]:
    """The lines that have an end: a kill cut the last one short, or it is being written."""
    return content.split(b"\n")[:-1]
