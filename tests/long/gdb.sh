#!/bin/bash
# SPDX-License-Identifier: MIT
# 10,000 single steps of each byte order beside QEMU's, and 100,000 packets of a hostile debugger (tests/system/gdb.sh).
set -u
. "$(dirname "$0")/../system/lib.sh"
. tests/system/gdb_lib.sh
need clang-19 ld.lld-19 qemu-system-mipsel qemu-system-mips
build_guests
traces el 10000
traces eb 10000
DISCO_TEST_LENGTH=long tests/system/gdb.sh || fail "tests/system/gdb.sh"
finish
