"""How much sound an audio file promises and whether it is there; bytes alone. Decoders silently give what there is.

A program that writes into a pipe cannot go back to its header, so the size in it is a placeholder:

    0                         mpg123, flac -d, Python's wave; ffmpeg in AIFF and RF64; recorders that lost their power
    0x7F000008                SoX in AIFF
    0x7FFF0000, 0x7FFFF000    GStreamer; espeak-ng, SoX, MPlayer (SoX rounds it down to whole samples)
    0x7FFFFFFF, 0x80000000    LAME, opusdec; arecord
    -1, or the largest        ffmpeg, and what AU and CAF themselves lay down for "not known"

So nothing of ENDLESS bytes or more was meant, and nothing of 0 where more follows than the outer size covers: the sound
goes on to the end of the file. Any other size was meant, and a file that ends before it is truncated.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

ENDLESS = 0x7F000000
"""2 GB, 6 hours at the highest usual rate of mono: no utterance."""


class AudioFileError(Exception):
    """A file that holds no usable audio; the text says what is wrong with it, without its name."""


NIST_COUNTS = re.compile(rb"^(sample_count|channel_count|sample_n_bytes) -i (\d{1,18})", re.MULTILINE)
MP3_FRAME = re.compile(
    rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][%s]" % b"".join(b"\\x%x0-\\x%xb" % (rate, rate) for rate in range(1, 15))
)
"""How a frame begins: layer III of MPEG 1, 2 or 2.5, and a bit rate and a sample rate that exist."""
MP3_KILOBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MP3_2_KILOBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
MP3_HERTZ = (44100, 48000, 32000)
"""Of MPEG 1; those of 2 are the halves, of 2.5 the quarters."""
TOLD_FRAMES = re.compile(rb"(?:Xing|Info)...[\x01\x03\x05\x07\x09\x0b\x0d\x0f](....)", re.DOTALL)
"""How an encoder tells in the first frame how many follow."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A container of chunks, each with a name and a size."""

    first: int
    """Where the first chunk is."""
    name: int = 4
    """Bytes of a name."""
    size: int = 4
    """Bytes of a size."""
    order: Literal["little", "big"] = "little"
    counted: int = 0
    """Bytes of a chunk's name and size that its size counts."""
    multiple: int = 2
    """Chunks start at multiples of it."""
    silent: int = 0
    """Bytes at the start of the chunk with the sound that are none."""
    outer: int | None = 4
    """Where the size of the whole is; None without one."""


RIFF = Layout(first=12)
IFF = Layout(first=12, order="big")
WAVE_64 = Layout(first=40, name=16, size=8, counted=24, multiple=8, outer=16)
CORE_AUDIO = Layout(first=8, size=8, order="big", multiple=1, silent=4, outer=None)
LAYOUTS = {
    rb"(RIFF|RF64|BW64)....WAVE": RIFF,
    rb"RIFX....WAVE": IFF,
    rb"FORM....(AIF[FC]|8SVX|16SV)": IFF,
    rb"riff\x2e\x91\xcf\x11": WAVE_64,
    rb"caff": CORE_AUDIO,
}
"""By how a file begins."""


@dataclass(frozen=True, kw_only=True)
class SoundChunk:
    """Where the sound of a file is, and where the header says how much of it there is."""

    start: int
    size: int
    """Bytes by the header, with all that it counts."""
    field: slice
    """Where that size stands."""
    order: Literal["little", "big"]
    beside: int = 0
    """Bytes that the size counts beside those from the start on."""
    outer: int | None = None
    """Where the whole ends, by the header; None when it does not say."""


def complete(content: bytes) -> bytes:
    """An audio file's content, with the true size where its header has a placeholder.

    Raises AudioFileError for a file that ends before its sound does.
    """
    if content.startswith(b"OggS"):
        _require_last_page(content)
    elif first := find_mp3_frame(content):
        return _complete_mp3(content, first.start())
    elif (sound := find_sound(content)) and 16 <= sound.start <= len(content):
        return _complete_chunk(content, sound)
    return content


def _complete_chunk(content: bytes, sound: SoundChunk) -> bytes:
    present, meant = len(content) - sound.start, sound.size - sound.beside
    left_empty = meant <= 0 < present and (sound.outer is None or sound.outer < len(content))
    if not left_empty and sound.size < ENDLESS:
        if present < meant:
            raise AudioFileError(f"truncated: {present:,} of {meant:,} bytes of sound")
        return content
    begin, end = sound.start, len(content)
    # SoX with libsndfile writes the head of a W64 or CAF into a pipe twice, and once more behind the sound
    while content.startswith(content[:16], begin) and begin + sound.start <= end:
        begin += sound.start
    if (behind := content.find(content[:16], begin)) > 0:
        end = behind
    width = sound.field.stop - sound.field.start
    size: int = min(end - begin + sound.beside, 256**width - 1)
    told = size.to_bytes(width, sound.order)
    return content[: sound.field.start] + told + content[sound.field.stop : sound.start] + content[begin:end]


def find_sound(content: bytes) -> SoundChunk | None:
    """The sound of a file that says how long it is; None for other files, and for one that has none."""
    layout = next((layout for start, layout in LAYOUTS.items() if re.match(start, content, re.DOTALL)), None)
    if layout is not None:
        return _find_chunk(content, layout)
    if content[:4] in (b".snd", b"dns."):
        order: Literal["little", "big"] = "big" if content.startswith(b".snd") else "little"
        start, size = (int.from_bytes(content[at : at + 4], order) for at in (4, 8))
        return SoundChunk(start=start, size=size, field=slice(8, 12), order=order)
    if nist := re.match(rb"NIST_1A\s+(\d{1,9})\n", content):
        told = dict(NIST_COUNTS.findall(content[:4096]))
        size = math.prod(int(told.get(name, b"0")) for name in (b"sample_count", b"channel_count", b"sample_n_bytes"))
        return SoundChunk(start=int(nist[1]), size=size, field=slice(0, 0), order="little", outer=len(content))
    return None


def _find_chunk(content: bytes, layout: Layout) -> SoundChunk | None:
    outer, long_sizes = None, 0
    if layout.outer is not None:
        stop = layout.outer + layout.size
        outer = stop - layout.counted + int.from_bytes(content[layout.outer : stop], layout.order)
    for name, size, start in _chunks(content, layout):
        if name == b"ds64":  # sizes of RF64: of the whole, and of the data
            long_sizes = start
            outer = 8 + int.from_bytes(content[start : start + 8], "little")
        elif name in (b"data", b"SSND", b"BODY"):
            field = slice(start - layout.size, start)
            if long_sizes and size == 0xFFFFFFFF:
                field = slice(long_sizes + 8, long_sizes + 16)
                size = int.from_bytes(content[field], "little")
            return SoundChunk(
                start=start + layout.silent,
                size=size,
                field=field,
                order=layout.order,
                beside=layout.counted + layout.silent,
                outer=outer,
            )
    return None


def _chunks(content: bytes, layout: Layout) -> Iterator[tuple[bytes, int, int]]:
    """Name, size as written and start of each chunk."""
    at = layout.first
    while (start := at + layout.name + layout.size) <= len(content):
        size = int.from_bytes(content[start - layout.size : start], layout.order)
        yield content[at : at + 4], size, start
        at = start + max(0, size - layout.counted)
        at += -at % layout.multiple


def _require_last_page(content: bytes) -> None:
    """Raise AudioFileError unless an Ogg file is one stream that ends with a page that is marked as the last one."""
    at = flags = 0
    while content.startswith(b"OggS", at):
        if flags & 4 and at + 5 < len(content) and content[at + 5] & 2:
            raise AudioFileError("holds several streams of Ogg behind each other, and only the first would be read")
        lengths = content[at + 27 : at + 27 + content[at + 26]] if at + 26 < len(content) else b""
        flags, at = content[at + 5] if at + 5 < len(content) else 0, at + 27 + len(lengths) + sum(lengths)
    if at >= len(content) and (at > len(content) or not flags & 4):
        raise AudioFileError("truncated: it ends before the page of Ogg that is marked as the last")


def find_mp3_frame(content: bytes) -> re.Match[bytes] | None:
    """The first frame of an MP3 file, behind its tag; None for another file."""
    tag = 0
    if content.startswith(b"ID3"):
        tag = 10 + sum(byte << shift for byte, shift in zip(content[6:10], (21, 14, 7, 0), strict=False))
        return MP3_FRAME.search(content, tag)
    return MP3_FRAME.match(content)


def _complete_mp3(content: bytes, start: int) -> bytes:
    """An MP3 file with a first frame that tells how many follow: without one, decoders take all to be of one size.

    Raises AudioFileError for a file that ends within a frame, or before as many as it tells of.
    """
    at, frames = start, 0
    while header := MP3_FRAME.match(content, at):
        at += _frame_bytes(header[0])
        frames += 1
    told = TOLD_FRAMES.search(content, start, start + 200)
    promised = 1 + int.from_bytes(told[1], "big") if told else 0
    # what follows the last frame may be tags; a file that was cut has none
    if at > len(content) or (at == len(content) and frames < promised):
        raise AudioFileError("truncated: it ends before its last frame of MP3 does")
    only_tags = content.startswith((b"TAG", b"APETAGEX"), at) or not MP3_FRAME.search(content, at)
    return content if told or not only_tags else _counting_frame(content[start : start + 4], frames) + content[start:at]


def _counting_frame(header: bytes, frames: int) -> bytes:
    """A frame of silence like another one, without its checksum, that tells how many frames follow."""
    head = bytes([header[0], header[1] | 1, 0x90 | header[2] & 0x0C, header[3]])
    mono, mpeg_1 = header[3] >> 6 == 3, header[1] >> 3 & 3 == 3
    side = (17 if mono else 32) if mpeg_1 else (9 if mono else 17)
    told = head + bytes(side) + b"Info" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
    return told.ljust(_frame_bytes(head), b"\0")


def _frame_bytes(header: bytes) -> int:
    version, kilobits, rate = header[1] >> 3 & 3, header[2] >> 4, MP3_HERTZ[header[2] >> 2 & 3]
    padding = header[2] >> 1 & 1
    if version == 3:
        return 144_000 * MP3_KILOBITS[kilobits] // rate + padding
    return 72_000 * MP3_2_KILOBITS[kilobits] // (rate // (2 if version == 2 else 4)) + padding
