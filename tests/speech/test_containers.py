"""A recording from a pipe is read whole, and one that was cut short is refused, whatever container it is in."""

import io
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from smart_tuner.speech import audio
from smart_tuner.speech.containers import AudioFileError, complete
from tests.support import voices

RATE = 22050
SAMPLES = voices.speech(2.0, RATE)
CONTAINERS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "GSM610"),
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("W64", "IMA_ADPCM"),
    ("AIFF", "PCM_16"),
    ("AIFF", "IMA_ADPCM"),
    ("AIFF", "ULAW"),
    ("SVX", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("CAF", "ALAC_16"),
    ("NIST", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("FLAC", "PCM_16"),
    ("MP3", "MPEG_LAYER_III"),
]


def encode(format: str, subtype: str = "PCM_16", endian: str = "FILE") -> bytes:
    file = io.BytesIO()
    rate = 8000 if subtype == "GSM610" else 24000 if subtype == "OPUS" else RATE
    soundfile.write(file, SAMPLES, rate, format=format, subtype=subtype, endian=endian)
    return file.getvalue()


def wav(data_size: int, riff_size: int = 0, subtype: str = "PCM_16", behind: bytes = b"") -> bytes:
    """A WAV with these sizes in its header."""
    content = bytearray(encode("WAV", subtype) + behind)
    data = content.index(b"data")
    content[4:8], content[data + 4 : data + 8] = struct.pack("<I", riff_size), struct.pack("<I", data_size)
    return bytes(content)


def patched(format: str, *changes: tuple[bytes, int, bytes], subtype: str = "PCM_16") -> bytes:
    """A file of a format with bytes changed, each so far behind the first occurrence of a name."""
    content = bytearray(encode(format, subtype))
    for name, offset, value in changes:
        at = content.index(name) + offset
        content[at : at + len(value)] = value
    return bytes(content)


def without_tag() -> bytes:
    """An MP3 whose first frame, which tells how many there are, is not there."""
    content = encode("MP3", "MPEG_LAYER_III")
    start = content.index(b"\xff\xf3")
    return content[content.index(b"\xff\xf3", start + 100) :]


def written_twice(format: str, head: int) -> bytes:
    """As SoX writes it into a pipe: the head before it knows a size, again, the sound, and the head once more."""
    content = encode(format)
    return content[:head] + content[:head] + content[head:] + content[:head]


PIPED = {
    "espeak-ng": wav(0x7FFFF000, 0x7FFFF024),
    "SoX, whole samples of 3 bytes": wav(0x7FFFF000 // 3 * 3, 0x7FFFF024, "PCM_24"),
    "LAME": wav(0x7FFFFFFF, 0x80000023),
    "opusdec": wav(0x7FFFFFFF, 0x7FFFFFFF),
    "mpg123": wav(0, 0x24),
    "flac -d": wav(0, 0),
    "ffmpeg": wav(0xFFFFFFFF, 0xFFFFFFFF),
    "ffmpeg, fractions": wav(0xFFFFFFFF, 0xFFFFFFFF, "FLOAT"),
    "GStreamer": wav(0x7FFF0000, 0x7FFF0024),
    "arecord": wav(0x80000000, 0x80000024),
    "-1 without the header": wav(0xFFFFFFFF - 36, 0xFFFFFFFF),
    "RF64 of ffmpeg": patched("RF64", (b"ds64", 8, bytes(24)), (b"data", 4, b"\xff" * 4)),
    "W64 of ffmpeg": patched("W64", (b"data", 16, b"\xff" * 7 + b"\x7f"), (b"riff", 16, b"\xff" * 8)),
    "AIFF of ffmpeg": patched("AIFF", (b"FORM", 4, bytes(4)), (b"COMM", 10, bytes(4)), (b"SSND", 4, bytes(4))),
    "AIFF of SoX": patched("AIFF", (b"COMM", 10, b"\x3f\x80\0\0"), (b"SSND", 4, b"\x7f\0\0\x08")),
    "AU": patched("AU", (b".snd", 8, b"\xff" * 4)),
    "CAF": patched("CAF", (b"data", 4, b"\xff" * 8)),
    "FLAC": patched("FLAC", (b"fLaC", 22, bytes(4))),
}


def read(folder: Path, content: bytes) -> NDArray[np.float32]:
    file = folder / "clip.wav"  # whatever it is: names tell nothing
    file.write_bytes(content)
    return audio.read_audio(file)[0]


@pytest.mark.parametrize("program", PIPED)
def test_a_recording_from_a_pipe_is_read_whole(tmp_path: Path, program: str) -> None:
    found = read(tmp_path, PIPED[program])
    assert len(found) == len(SAMPLES)
    assert np.abs(found - SAMPLES).max() < 1e-4
    seconds = audio.header_seconds(tmp_path / "clip.wav")
    assert seconds == pytest.approx(2.0)


@pytest.mark.parametrize(("format", "head"), [("W64", 0x68), ("CAF", 0x1000)])
def test_the_heads_that_sox_repeats_in_a_pipe_are_no_sound(tmp_path: Path, format: str, head: int) -> None:
    content = bytearray(written_twice(format, head))
    sizes = {"W64": (0x60, b"\x17" + bytes(7)), "CAF": (0xFF4, bytes(7) + b"\x04")}
    at, size = sizes[format]
    content[at : at + 8] = size
    assert np.abs(read(tmp_path, bytes(content)) - SAMPLES).max() < 1e-4


def test_a_pipe_s_odd_last_byte_is_left_out(tmp_path: Path) -> None:
    assert len(read(tmp_path, wav(0xFFFFFFFF, 0xFFFFFFFF)[:-1])) == len(SAMPLES) - 1


@pytest.mark.parametrize("share", [0.5, 0.97])
@pytest.mark.parametrize(("format", "subtype"), CONTAINERS)
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, format: str, subtype: str, share: float) -> None:
    content = encode(format, subtype)
    assert len(read(tmp_path, content)) >= len(SAMPLES), "the whole file is not refused"
    with pytest.raises(AudioFileError, match=r"^truncated"):
        read(tmp_path, content[: int(share * len(content))])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (encode("WAV"), r"truncated: 44,078 of 88,200 bytes of sound"),
        (encode("WAV", endian="BIG"), r"truncated: 44,078 of 88,200 bytes of sound"),
        (encode("AU", endian="LITTLE"), r"truncated: 44,\d\d\d of 88,200 bytes of sound"),
        (encode("OGG", "VORBIS"), r"truncated: it ends before the page of Ogg that is marked as the last"),
        (without_tag(), r"truncated: it ends before its last frame of MP3 does"),
        (PIPED["FLAC"], r"truncated or damaged \(flac decoder lost sync\)"),
    ],
    ids=["WAV", "big-endian WAV", "little-endian AU", "Ogg", "MP3", "FLAC of unknown length"],
)
def test_the_sentence_says_how_it_shows(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(AudioFileError, match=f"^{told}$"):
        read(tmp_path, content[: len(content) // 2])


def test_an_ogg_file_cut_between_two_pages_is_refused(tmp_path: Path) -> None:
    content = encode("OGG", "VORBIS")
    with pytest.raises(AudioFileError, match="marked as the last"):
        read(tmp_path, content[: content.rindex(b"OggS")])


def test_streams_of_ogg_behind_each_other_are_not_read_as_one(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="several streams of Ogg"):
        read(tmp_path, encode("OGG", "VORBIS") + encode("OGG", "VORBIS"))


def test_an_mp3_file_cut_between_two_frames_shows_by_the_count_in_its_first(tmp_path: Path) -> None:
    content = encode("MP3", "MPEG_LAYER_III")
    assert b"Info" in content[:200] or b"Xing" in content[:200]
    starts = [at for at in range(len(content)) if content.startswith(content[:2], at)]
    with pytest.raises(AudioFileError, match="last frame of MP3"):
        read(tmp_path, content[: starts[-1]])


@pytest.mark.parametrize("behind", [b"", b"TAG" + bytes(125), b"APETAGEX" + bytes(99), b"junk \xff\xf3"])
def test_an_mp3_file_without_a_count_and_with_tags_behind_is_whole(tmp_path: Path, behind: bytes) -> None:
    assert len(read(tmp_path, without_tag() + behind)) > 0.95 * len(SAMPLES)
    assert audio.header_seconds(tmp_path / "clip.wav") == pytest.approx(2.0, rel=0.05)
    assert len(read(tmp_path, encode("MP3", "MPEG_LAYER_III") + behind)) >= len(SAMPLES)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 32000, 44100, 48000])
def test_mp3_files_of_all_rates_are_whole(tmp_path: Path, rate: int) -> None:
    file = io.BytesIO()
    soundfile.write(file, voices.speech(1.0, rate), rate, format="MP3")
    content = file.getvalue()
    assert complete(content) == content
    bare = content[content.index(content[:2], 40) :]  # without the count
    assert soundfile.info(io.BytesIO(complete(bare))).frames >= rate


@pytest.mark.parametrize("behind", [b"", b"LIST\x04\0\0\0INFO"])
def test_a_recording_without_samples_is_not_one_from_a_pipe(tmp_path: Path, behind: bytes) -> None:
    empty = wav(0, 0)[:44]
    (tmp_path / "clip.wav").write_bytes(empty[:4] + struct.pack("<I", 36 + len(behind)) + empty[8:] + behind)
    assert not len(audio.read_audio(tmp_path / "clip.wav")[0])


def test_a_trailing_chunk_is_no_sound_and_may_be_cut(tmp_path: Path) -> None:
    content = encode("WAV") + b"LIST\xff\0\0\0INFO"
    assert len(read(tmp_path, content)) == len(SAMPLES)


def zeros(content: bytearray, at: int) -> None:
    content[at] = 0


def ones(content: bytearray, at: int) -> None:
    content[at] = 255


def flipped(content: bytearray, at: int) -> None:
    content[at] ^= 1 << (at % 8)


def told(content: bytes) -> str:
    try:
        return "whole" if complete(content) else "nothing"
    except AudioFileError as refused:
        return str(refused)


def test_a_head_without_end_is_no_loop() -> None:
    """An AU file whose sound begins at 0 and does not end; a CAF of nothing but its own head, over and over."""
    assert told(patched("AU", (b".snd", 4, bytes(4) + b"\xff" * 4))) == "whole"
    head = patched("CAF", (b"data", 4, b"\xff" * 8))[:0x1000]
    assert [told(head * 5 + head[:more]) for more in (0, 16, 100)] == ["whole"] * 3


@pytest.mark.parametrize("damage", [zeros, ones, flipped])
@pytest.mark.parametrize(("format", "subtype"), CONTAINERS)
def test_a_damaged_head_never_breaks_the_reader(
    format: str, subtype: str, damage: Callable[[bytearray, int], None]
) -> None:
    """The content comes back, or a sentence does."""
    draw, whole = random.Random(0), encode(format, subtype)
    for at in range(200):
        content = bytearray(whole[:30_000])
        damage(content, at)
        damage(content, draw.randrange(len(content)))
        assert told(bytes(content)).startswith(("whole", "truncated"))
