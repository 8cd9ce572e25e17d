"""Whether an HDF5 file is complete in itself: the HDF5 library in ITK follows links to other files without a word.

After the HDF5 File Format Specification, version 3.0, of which this walks what holds or leads to links.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from ...core.errors import InputError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_UNDEFINED = (1 << 64) - 1
_LINK_INFO, _EXTERNAL_FILES, _LINK, _LAYOUT, _CONTINUATION, _SYMBOL_TABLE = 0x02, 0x07, 0x06, 0x08, 0x10, 0x11
"""Types of the messages of an object that matter here."""
_HARD, _FIRST_USER_DEFINED = 0, 64
"""Types of links; the first of those that users define is that to another file."""
_VIRTUAL = 3
"""The class of a layout whose data lie in other files."""
_MAX_OBJECTS, _MAX_LEVEL = 100_000, 8


class _DamagedError(Exception):
    """The bytes are no HDF5 structure."""


def check_hdf5_links(path: Path) -> None:
    """Raise InputError for an HDF5 file of which a part lies in another file, or whose structure is damaged."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            walk = _Walk(content)
            leads_outside = any(map(walk.leads_outside, walk.list_objects()))
        except (_DamagedError, struct.error, LookupError, OverflowError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as a transform; it is damaged or no HDF5 file of ITK.") from error
    if leads_outside:
        raise InputError(f"{path}: parts of this HDF5 file lie in other files, which are not read; save it whole.")


class _Walk:
    """The objects (groups and data sets) of a file, from its root on."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        if content[:8] != _SIGNATURE:
            raise _DamagedError
        version = content[8]
        sizes, base = ((13, 14), 24 + 4 * (version == 1)) if version < 2 else ((9, 10), 12)
        self._root = base + (40 if version < 2 else 24)
        # ITK writes 8 bytes for each address, counted from the start of the file.
        if version > 3 or any(content[place] != 8 for place in sizes) or self._unpack("Q", base) != (0,):
            raise _DamagedError

    def list_objects(self) -> Iterator[int]:
        """Yield the address of each object once."""
        waiting, known = [self._unpack("Q", self._root)[0]], set()
        while waiting:
            address = waiting.pop()
            if address in known:
                continue
            known.add(address)
            if len(known) > _MAX_OBJECTS:
                raise _DamagedError
            yield address
            waiting += self._list_members(address)

    def leads_outside(self, address: int) -> bool:
        """Whether an object has data or a link in another file."""
        for kind, start, _ in self._list_messages(address):
            if kind == _EXTERNAL_FILES:
                return True
            if kind == _LAYOUT and self._content[start] >= 3 and self._content[start + 1] == _VIRTUAL:
                return True
        return any(kind >= _FIRST_USER_DEFINED for kind, _ in self._list_links(address))

    def _list_members(self, address: int) -> Iterator[int]:
        for kind, target in self._list_links(address):
            if kind == _HARD:
                yield target
        for kind, start, _ in self._list_messages(address):
            if kind == _SYMBOL_TABLE:
                yield from self._list_symbols(self._unpack("Q", start)[0])

    def _unpack(self, layout: str, start: int) -> tuple[int, ...]:
        return struct.unpack_from("<" + layout, self._content, start)

    def _expect(self, address: int, mark: bytes) -> int:
        """Return the address behind a mark that has to be there."""
        if self._content[address : address + len(mark)] != mark:
            raise _DamagedError
        return address + len(mark)

    # Messages of an object

    def _list_messages(self, address: int) -> Iterator[tuple[int, int, int]]:
        """Yield type, address and length of each message of an object."""
        is_new = self._content[address : address + 4] == b"OHDR"
        start, length, flags = self._find_new_block(address) if is_new else self._find_old_block(address)
        blocks = [(start, length)]
        for start, length in blocks:  # grows by the continuations
            if len(blocks) > _MAX_OBJECTS:
                raise _DamagedError
            read = self._read_block_new(start, length, flags) if is_new else self._read_block_old(start, length)
            for kind, place, size in read:
                if kind == _CONTINUATION:
                    other, size_there = self._unpack("QQ", place)
                    if is_new:
                        self._expect(other, b"OCHK")
                        blocks.append((other + 4, size_there - 8))
                    else:
                        blocks.append((other, size_there))
                else:
                    yield kind, place, size

    def _find_new_block(self, address: int) -> tuple[int, int, int]:
        """Return start and length of the first messages, and the flags of the object."""
        version, flags = self._content[address + 4], self._content[address + 5]
        if version != 2:
            raise _DamagedError
        start = address + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        width = 1 << (flags & 3)
        length = int.from_bytes(self._content[start : start + width], "little")
        return start + width, length, flags

    def _find_old_block(self, address: int) -> tuple[int, int, int]:
        if self._content[address] != 1:
            raise _DamagedError
        return address + 16, self._unpack("I", address + 8)[0], 0

    def _read_block_new(self, start: int, length: int, flags: int) -> Iterator[tuple[int, int, int]]:
        head = 4 + 2 * bool(flags & 0x04)
        end = start + length
        while start + head <= end:
            kind, size = self._unpack("BH", start)
            yield from self._check_message(kind, start + head, size, end)
            start += head + size

    def _read_block_old(self, start: int, length: int) -> Iterator[tuple[int, int, int]]:
        end = start + length
        while start + 8 <= end:
            kind, size = self._unpack("HH", start)
            yield from self._check_message(kind, start + 8, size, end)
            start += 8 + size

    def _check_message(self, kind: int, start: int, size: int, end: int) -> Iterator[tuple[int, int, int]]:
        if start + size > min(end, len(self._content)):
            raise _DamagedError
        yield kind, start, size

    # Links of a group

    def _list_links(self, address: int) -> Iterator[tuple[int, int]]:
        """Yield the type of each link of an object, and the address that a hard one leads to."""
        for kind, start, _ in self._list_messages(address):
            if kind == _LINK:
                yield self._read_link(start)
            elif kind == _LINK_INFO:
                heap, index = self._unpack("QQ", start + 2 + 8 * (self._content[start + 1] & 1))
                if heap != _UNDEFINED:
                    yield from self._list_dense_links(heap, index)

    def _read_link(self, start: int) -> tuple[int, int]:
        flags = self._content[start + 1]
        place = start + 2
        kind = _HARD
        if flags & 0x08:
            kind, place = self._content[place], place + 1
        place += 8 * bool(flags & 0x04) + bool(flags & 0x10)
        width = 1 << (flags & 3)
        length = int.from_bytes(self._content[place : place + width], "little")
        return kind, self._unpack("Q", place + width + length)[0] if kind == _HARD else _UNDEFINED

    def _list_dense_links(self, heap: int, index: int) -> Iterator[tuple[int, int]]:
        """Yield the links of a group that has many of them, in a heap with an index."""
        self._expect(heap, b"FRHP")
        self._expect(index, b"BTHD")
        (filters,) = self._unpack("H", heap + 7)
        width, first_size, _, heap_bits = self._unpack("HQQH", heap + 110)
        block, rows = self._unpack("QH", heap + 132)
        if filters or not first_size:
            raise _DamagedError
        node_size, size, depth = self._unpack("IHH", index + 6)
        node, count = self._unpack("QH", index + 16)
        offset_bytes = -(-heap_bits // 8)
        for record in self._list_records(node, count, depth, (node_size, size)):
            place = record + 4 + 1  # behind the hash of the name and the kind of the place
            offset = int.from_bytes(self._content[place : place + offset_bytes], "little")
            yield self._read_link(self._find_in_heap(block, rows, width, first_size, offset, offset_bytes))

    def _list_records(self, node: int, count: int, depth: int, sizes: tuple[int, int]) -> Iterator[int]:
        """Yield the addresses of the records of an index, whose nodes and records have these sizes, bytes."""
        node_size, size = sizes
        if depth > 1 or count * size > node_size:  # more than some 1000 links
            raise _DamagedError
        self._expect(node, b"BTIN" if depth else b"BTLF")
        yield from (node + 6 + number * size for number in range(count))
        if depth:
            count_bytes = -(-((node_size - 10) // size).bit_length() // 8)
            for number in range(count + 1):
                place = node + 6 + count * size + number * (8 + count_bytes)
                child = int.from_bytes(self._content[place + 8 : place + 8 + count_bytes], "little")
                yield from self._list_records(self._unpack("Q", place)[0], child, 0, sizes)

    def _find_in_heap(self, block: int, rows: int, width: int, first_size: int, offset: int, offset_bytes: int) -> int:
        """Return the address of a place in a heap: one block, or rows of `width` blocks that grow from row to row."""
        start = 0
        for number in range(rows * width):
            size = first_size << max(number // width - 1, 0)
            if offset < start + size:
                (block,) = self._unpack("Q", self._expect(block, b"FHIB") + 9 + offset_bytes + 8 * number)
                break
            start += size
        return self._expect(block, b"FHDB") - 4 + offset - start

    def _list_symbols(self, node: int, max_level: int = _MAX_LEVEL) -> Iterator[int]:
        """Yield the addresses of the members of a group of the old kind, which has no links to other files."""
        if self._content[node : node + 4] == b"SNOD":
            for number in range(self._unpack("H", node + 6)[0]):
                _, target = self._unpack("QQ", node + 8 + 40 * number)
                if target != _UNDEFINED:  # that of a link inside of the file
                    yield target
            return
        self._expect(node, b"TREE")
        level, count = self._unpack("BH", node + 5)
        if level > max_level:
            raise _DamagedError
        for number in range(count):
            yield from self._list_symbols(self._unpack("Q", node + 24 + 16 * number + 8)[0], level - 1)
