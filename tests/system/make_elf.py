#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write damaged and hostile kernel images for bad_input.sh.  usage: make_elf.py DIRECTORY

One file a case, named after what is wrong with it; good.elf, a loop, shows that the rest of the image is right.
"""
import os
import struct
import sys

BASE = 0x80100000
CODE = struct.pack("<2I", 0x1000FFFF, 0)  # b .; nop


def segment(vaddr=BASE, paddr=None, offset=0x1000, filesz=len(CODE), memsz=None, kind=1):
    return (kind, offset, vaddr, vaddr if paddr is None else paddr, filesz, filesz if memsz is None else memsz, 7, 0x1000)


def image(segments=None, entry=BASE, big=False, phentsize=32, phnum=None, phoff=52, code=CODE, **header):
    h = {"magic": b"\x7fELF", "elfclass": 1, "data": 2 if big else 1, "version": 1, "type": 2, "machine": 8,
         "flags": 0x70001001}
    h.update(header)
    end = ">" if big else "<"
    segments = [segment()] if segments is None else segments
    ident = h["magic"] + bytes([h["elfclass"], h["data"], h["version"]]) + b"\0" * 9
    out = ident + struct.pack(end + "HHIIIIIHHHHHH", h["type"], h["machine"], h["version"], entry, phoff, 0, h["flags"], 52,
                              phentsize, len(segments) if phnum is None else phnum, 40, 0, 0)
    for s in segments:
        out += struct.pack(end + "8I", *s)
    return out.ljust(0x1000, b"\0") + code


def cases():
    good = image()
    yield "good", good
    yield "empty", b""
    yield "one_byte", b"\x7f"
    yield "text", b"#!/bin/sh\necho no kernel\n" * 10
    yield "zeroes", bytes(8192)
    for n in (4, 15, 16, 51, 52, 60, 83, 0x1000, 0x1004):
        yield "truncated_%d" % n, good[:n]
    yield "class64", image(elfclass=2)
    yield "class0", image(elfclass=0)
    yield "data3", image(data=3)
    yield "version9", image(version=9)
    yield "machine_x86_64", image(machine=62)
    yield "machine_swapped", image(big=True, machine=0x0800)
    yield "relocatable", image(type=1)
    yield "shared", image(type=3)
    yield "core", image(type=4)
    yield "mips64_flags", image(flags=0x80000000)
    yield "mips32r6_flags", image(flags=0x90000000)
    yield "micromips", image(flags=0x72001001)
    yield "no_segments", image([])
    yield "no_load", image([segment(kind=4)])
    yield "phentsize", image(phentsize=56)
    yield "phentsize0", image(phentsize=0)
    yield "phnum_huge", image(phnum=0xFFFF)
    yield "phoff_huge", image(phoff=0xFFFFFFF0)
    yield "phoff_end", image(phoff=0xFF0)
    yield "many_segments", image([segment(BASE + 0x1000 * i) for i in range(100)])
    yield "overlap_all", image([segment(), segment()])
    yield "overlap_part", image([segment(memsz=0x2000), segment(BASE + 0x1000)])
    yield "overlap_alias", image([segment(), segment(0xA0100000)])
    yield "overlap_paddr", image([segment(), segment(0x00400000, paddr=0x100000)])
    yield "huge_memsz", image([segment(memsz=0xFFFFFFFF)])
    yield "huge_filesz", image([segment(filesz=0xFFFFFFFF, memsz=0xFFFFFFFF)])
    yield "filesz_over_memsz", image([segment(memsz=4)])
    yield "offset_huge", image([segment(offset=0xFFFFFFFC)])
    yield "offset_wraps", image([segment(offset=0xFFFFF000, filesz=0x2000)])
    yield "wraps_segment", image([segment(0x9FFFFFFC, memsz=0x1000), segment()])
    yield "above_memory", image([segment(0x90000000)], entry=0x90000000)
    yield "in_io", image([segment(), segment(0xB8000000)])
    yield "over_arguments", image([segment(), segment(0x80002000)])
    yield "kuseg_far", image([segment(0x00400000, paddr=0x70000000)], entry=0x00400000)
    yield "entry_odd", image(entry=BASE + 1)
    yield "entry_kuseg", image(entry=0x00100000)
    yield "entry_zero", image(entry=0)
    yield "entry_before", image(entry=BASE - 4)
    yield "entry_behind", image(entry=BASE + 8)
    yield "entry_in_bss", image([segment(memsz=0x1000)], entry=BASE + 0x100)
    yield "entry_kseg2", image(entry=0xC0100000)


def main():
    for name, data in cases():
        with open(os.path.join(sys.argv[1], name + ".elf"), "wb") as f:
            f.write(data)


if __name__ == "__main__":
    main()
