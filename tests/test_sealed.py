"""Whatever changes in sealed content shows when it is read."""

import random

import pytest

from smart_tuner.sealed import DamagedError, seal, seal_line, unseal, unseal_line, whole_lines

CONTENT = bytes(range(256)) * 4
VALUES = {"mel": "a.npy", "seconds": 1.25, "text": "ё", "list": [1, None]}


@pytest.mark.parametrize("content", [b"", b"\0", CONTENT, seal(CONTENT)])
def test_what_was_sealed_is_read_back(content: bytes) -> None:
    assert unseal(seal(content)) == content


@pytest.mark.parametrize("count", [0, 1, 7, 8, 500, 1031])
def test_content_that_ends_early_shows(count: int) -> None:
    with pytest.raises(DamagedError):
        unseal(seal(CONTENT)[:count])


@pytest.mark.parametrize("start", [0, 200, 900, 1020])
def test_zeros_of_a_power_cut_show(start: int) -> None:
    content = bytearray(seal(CONTENT))
    content[start : start + 200] = bytes(len(content[start : start + 200]))
    with pytest.raises(DamagedError):
        unseal(bytes(content))


def test_any_single_byte_that_changed_shows() -> None:
    draw, whole = random.Random(0), seal(CONTENT)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= draw.randrange(1, 256)
        with pytest.raises(DamagedError):
            unseal(bytes(changed))


def test_a_line_is_read_back_and_is_plain_json() -> None:
    lines = whole_lines((seal_line(VALUES) + seal_line({}) + "half of").encode())
    assert [unseal_line(line) for line in lines] == [VALUES, {}]


def test_any_single_byte_of_a_line_that_changed_shows() -> None:
    (line,) = whole_lines(seal_line(VALUES).encode())
    for at in range(len(line)):
        changed = bytearray(line)
        changed[at] ^= 1
        with pytest.raises(DamagedError):
            unseal_line(bytes(changed))


@pytest.mark.parametrize("line", [b"", b"{}", b"\0" * 200, b'"a word"', b'[1], "crc32": "00000000"}', b"\xff\xfe"])
def test_a_line_without_a_seal_is_damaged(line: bytes) -> None:
    with pytest.raises(DamagedError):
        unseal_line(line)
