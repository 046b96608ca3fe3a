"""Damage for files: bytes flipped, cut and pasted; JSON and TOML with other values; archives and pictures
that are whole but hold nonsense.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from random import Random

import numpy as np

from sim.damage import tflite_odd

NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    62,
    63,
    64,
    255,
    256,
    65535,
    1 << 31,
    (1 << 31) - 1,
    1 << 32,
    1 << 63,
    -(1 << 63),
    10**30,
)
VALUES = (
    None,
    True,
    False,
    0.5,
    -0.0,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "none",
    "a",
    "../../x",
    "a;b",
    "a\nb",
    '"',
    "$(x)",
    "é",
    "module",
    "x" * 3000,
    [],
    {},
    [[]],
    [1, 2],
    {"width": 8, "frac": 0, "signed": True},
    *NUMBERS,
)
"""What a value of a text may become: ends of ranges, other types, names that want to be more than names."""
WORDS = (
    b"[",
    b"]",
    b"{",
    b"}",
    b"=",
    b",",
    b'"',
    b"'",
    b"#",
    b"\n",
    b"\0",
    b"\xff",
    b"1e999",
    b"nan",
    b"-1",
    b"0x7",
    b"true",
    b'"classes"',
    b"[recipe]",
    b"epochs = 9",
    b"conv",
    b"pool",
    b"dense",
    b"kernel",
    b"padding",
    b"9" * 400,
    b"[" * 400,
    b'"same"',
    b"residual",
    b"body",
    b"[quantise]",
    b"layers",
)
"""Pieces of texts."""
MEMBERS = ("net.json.npy", "0/bias.npy", "../x.npy", "0/shifts.npy", "é")
"""What a member of an archive may come to be called."""
DTYPES = ("<i8", "<f4", "|b1", "<c8", "<U3", ">i2", "|u1", "<M8[s]", "|V4")
"""Types that an array may come to have."""


def damaged(random: Random, content: bytes) -> bytes:
    """Some bytes of a file changed, lost, doubled or put in."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        at = random.randrange(len(data) + 1)
        size = random.choice((1, 1, 2, 4, 8, 64))
        kind = random.randrange(7)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << random.randrange(8)
        elif kind == 1:
            data[at : at + size] = random.randbytes(size)
        elif kind == 2:
            number = random.choice(NUMBERS) & 0xFFFFFFFF
            data[at : at + 4] = number.to_bytes(4, random.choice(("big", "little")))
        elif kind == 3:
            del data[at : at + size]
        elif kind == 4:
            data[at:at] = data[at : at + size]
        elif kind == 5:
            data[at:at] = random.choice(WORDS)
        else:
            del data[random.choice((at, len(data) - size)) :]
    return bytes(data)


def retold(random: Random, text) -> object:
    """A JSON value with one of its parts changed, lost, doubled or renamed."""
    text = json.loads(json.dumps(text))
    places = [(None, None)]

    def visit(part):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            places.append((part, key))
            if isinstance(value, (dict, list)):
                visit(value)

    if isinstance(text, (dict, list)):
        visit(text)
    for _ in range(random.choice((1, 1, 2, 3))):
        part, key = random.choice(places)
        value = random.choice(VALUES)
        if part is None:
            if random.random() < 0.05:
                return value
        elif isinstance(part, dict):
            kind = random.randrange(5)
            if kind == 0:
                part.pop(key, None)
            elif kind == 1:
                part[str(random.choice(VALUES))] = part.get(key)
            else:
                part[key] = value
        elif key < len(part):
            kind = random.randrange(5)
            if kind == 0:
                del part[key]
            elif kind == 1:
                part.insert(key, part[key])
            else:
                part[key] = value
    return text


def encoded(random: Random, content: bytes) -> bytes:
    """A text as some editor writes it: another encoding, other ends of lines, other quotes or spaces."""
    text = content.decode()
    text = random.choice(
        (
            text,
            text.replace("\n", "\r\n"),
            text.replace("\n", "\r"),
            text.replace("\n", "\u2028"),
            text.replace('"', "\u201c", 1).replace('"', "\u201d", 1),
            text.replace('"', "\u201d"),
            text.replace('"', "'"),
            text.replace(" ", "\u00a0"),
            text.replace(" ", "\t"),
            text.replace(", ", ",\u200b "),
            f"{text}\x1a",
            f"# größe\n{text}",
        )
    )
    encoding = random.choice(("utf-8", "utf-8-sig", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"))
    return text.encode(encoding, errors="replace")


def as_json(random: Random, content: bytes) -> bytes:
    """A JSON file that tells something else, in another encoding, or damaged."""
    if random.random() < 0.1:
        return encoded(random, content)
    if random.random() < 0.3:
        return damaged(random, content)
    return json.dumps(retold(random, json.loads(content))).encode()


def as_text(random: Random, content: bytes) -> bytes:
    """A text file with lines and words moved about, in another encoding, or damaged."""
    if random.random() < 0.2:
        return encoded(random, content)
    if random.random() < 0.4:
        return damaged(random, content)
    words = content.replace(b"\n", b" \n ").split(b" ")
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(words))
        kind = random.randrange(4)
        if kind == 0:
            words[at] = random.choice(WORDS)
        elif kind == 1:
            words[at] = str(random.choice(NUMBERS)).encode()
        elif kind == 2:
            words[at] = random.choice(words)
        else:
            words[at:at] = words[at : at + random.randrange(1, 12)]
    return b" ".join(words)


def as_archive(random: Random, content: bytes) -> bytes:
    """An ``.npz`` whose text or arrays are others, or that is damaged."""
    if random.random() < 0.3:
        return damaged(random, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        whole = {name: archive.read(name) for name in archive.namelist()}
    members = dict(whole)
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice(list(whole))
        kind = random.randrange(6)
        if kind == 0:
            members[name] = damaged(random, whole[name])
        elif kind == 1:
            members.pop(name, None)
        elif kind == 2:
            members[random.choice(MEMBERS)] = whole[name]
        elif name.endswith(".json.npy"):
            text = json.loads(bytes(np.load(io.BytesIO(whole[name]), allow_pickle=False)))
            told = json.dumps(retold(random, text)).encode()
            members[name] = npy(np.frombuffer(told, np.uint8))
        else:
            array = np.load(io.BytesIO(whole[name]), allow_pickle=False)
            members[name] = npy(changed(random, array))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    """An array as a file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def changed(random: Random, array: np.ndarray) -> np.ndarray:
    """An array of another shape or type, or with another value in it."""
    kind = random.randrange(5)
    if kind == 0:
        return array.astype(random.choice(DTYPES))
    if kind == 1:
        return array.reshape(random.choice(((-1,), (1, -1), (-1, 1), (1, *array.shape))))
    if kind == 2:
        return array[:-1] if array.ndim else array[None]
    wide = array.astype(np.int64)
    if wide.size:
        wide.flat[random.randrange(wide.size)] = random.choice([n for n in NUMBERS if abs(n) < 1 << 63])
    return wide


def as_tflite(random: Random, content: bytes) -> bytes:
    """A TFLite file with bytes or words of it changed, or another one that no net can be made of."""
    make = random.choice((damaged, tflite_odd.damaged, tflite_odd.damaged, None))
    return tflite_odd.odd(random) if make is None else make(random, content)


def as_picture(random: Random, content: bytes) -> bytes:
    """A PNG with right checksums around what is wrong, or damaged; a JPEG is damaged."""
    if random.random() < 0.3 or not content.startswith(b"\x89PNG"):
        return damaged(random, content)
    chunks, at = [], 8
    while at + 12 <= len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        chunks.append([content[at + 4 : at + 8], content[at + 8 : at + 8 + size]])
        at += 12 + size
    chunk = random.choice(chunks)
    kind = random.randrange(5)
    if kind == 0:
        chunks.insert(random.randrange(len(chunks) + 1), list(chunk))
    elif kind == 1:
        chunks.remove(chunk)
    elif kind == 2:
        chunk[0] = random.choice((b"tRNS", b"PLTE", b"IDAT", b"gAMA", b"iCCP", b"zTXt", b"acTL", b"eXIf"))
    elif chunk[0] == b"IDAT" and kind == 3:
        chunk[1] = zlib.compress(damaged(random, zlib.decompress(chunk[1])))
    else:
        chunk[1] = damaged(random, chunk[1])
    return content[:8] + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
