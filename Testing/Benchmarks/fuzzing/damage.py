"""Damage to files: bytes flipped, cut off, inserted, and numbers and lines replaced."""

from __future__ import annotations

import re
import struct
from random import Random
from typing import Any

STRANGE_NUMBERS = (
    "nan", "inf", "-inf", "-1", "0", "1", "2", "3.5", "7", "255", "65536", "100000", "2147483647", "2147483648",
    "-2147483649", "4294967296", "9223372036854775807", "1e400", "1e-400", "1e30", "-0.0", "0x10", "1_000",
    "9" * 30, "9" * 5000, "", "a", "١", "\0", "\x1b[31m", "../../etc", "%d", "%s%s%n", "LIST", "LOCAL", "(1,0,0)",
    "none", "true", "[]", "{}", '"',
)  # fmt: skip
STRANGE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3.5, 1e308, 10**400, float("nan"), float("inf"), -float("inf"), "", "a", "a\nb",
    "\0", "\x1b[31m", "../../x", "/", "x" * 5000, [], [1], [1, 2], [2, 1], [[]], {}, {"a": 1}, [None], {"": {}},
)  # fmt: skip
_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")
_PATTERNS = ("<h", "<i", "<q", "<f", "<d", ">h", ">i", ">f")
_WORDS = (b"\xff", b"\0", b"\x80", b"\x7f")


def damage_binary(content: bytes, random: Random, header: int) -> bytes:
    """Damage a file with a binary header of some bytes; most damage is there."""
    result = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 5, 20))):
        place = random.randrange(max(min(header if random.random() < 0.9 else len(result), len(result)), 1))
        kind = random.randrange(5)
        if kind == 0 and result:
            result[place] ^= 1 << random.randrange(8)
        elif kind == 1 and result:
            result[place : place + 1] = bytes([random.randrange(256)])
        elif kind == 2:
            size = random.choice((1, 2, 4, 8))
            result[place : place + size] = (random.choice(_WORDS) * size)[: len(result[place : place + size])]
        elif kind == 3:
            value = _pack_strange(random)
            result[place : place + len(value)] = value[: len(result[place : place + len(value)])]
        else:
            result = bytearray(_move_bytes(bytes(result), random))
    return bytes(result)


def damage_text(content: bytes, random: Random, header: int) -> bytes:
    """Damage a file that begins with lines of text of some bytes."""
    head, rest = content[:header], content[header:]
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        kind = random.randrange(6)
        if kind <= 2:
            head = _replace_number(head, random)
        elif kind == 3:
            head = _move_line(head, random)
        elif kind == 4:
            head = damage_binary(head, random, len(head))
        else:
            rest = damage_binary(rest, random, len(rest))
    return head + rest


def damage_values(value: Any, random: Random) -> Any:
    """Replace or remove one part of a value of lists and tables, or add a part to it."""
    if not isinstance(value, (dict, list)) or not value or random.random() < 0.05:
        return random.choice(STRANGE_VALUES)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = random.choice(keys)
    result = dict(value) if isinstance(value, dict) else list(value)
    kind = random.random()
    if kind < 0.1:
        del result[key]
    elif kind < 0.2 and isinstance(result, dict):
        result[random.choice(("a", "", "a\nb", "\x1b", key + "s"))] = random.choice(STRANGE_VALUES)
    else:
        result[key] = damage_values(value[key], random)
    return result


def _pack_strange(random: Random) -> bytes:
    pattern = random.choice(_PATTERNS)
    if pattern[1] in "fd":
        return struct.pack(pattern, random.choice((float("nan"), float("inf"), -1.0, 0.0, 1e-30, 1e30, 5e4)))
    bits = {"h": 15, "i": 31, "q": 63}[pattern[1]]
    return struct.pack(pattern, random.choice((-(1 << bits), (1 << bits) - 1, -1, 0, 1, 2, 100, 10_000)))


def _move_bytes(content: bytes, random: Random) -> bytes:
    place, length = random.randrange(len(content) + 1), random.choice((1, 4, 100))
    kind = random.randrange(4)
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + content[place + length :]
    if kind == 2:
        return content[:place] + random.randbytes(length) + content[place:]
    return content + random.randbytes(length)


def _replace_number(head: bytes, random: Random) -> bytes:
    numbers = list(_NUMBER.finditer(head))
    if not numbers:
        return head
    chosen = random.choice(numbers)
    return head[: chosen.start()] + random.choice(STRANGE_NUMBERS).encode() + head[chosen.end() :]


def _move_line(head: bytes, random: Random) -> bytes:
    lines = head.split(b"\n")
    line = lines.pop(random.randrange(len(lines)))
    kind = random.randrange(4)
    if kind == 0:
        lines.insert(random.randrange(len(lines) + 1), line)
    elif kind == 1:
        lines += [line, line]
    elif kind == 2:
        key = re.split(rb"[:=]", line)[0]
        lines.insert(0 if random.random() < 0.5 else len(lines), key + b" = " + random.choice(STRANGE_NUMBERS).encode())
    return b"\n".join(lines)
