#!/bin/bash
# SPDX-License-Identifier: MIT
# A million inputs of a hostile machine beside one that computes: tests/isolation.    usage: tests/long/isolation.sh [OPTION OF isolation...]
set -u
cd "$(dirname "$0")/../.." || exit 2
cmake --preset release -Wno-dev >/dev/null && cmake --build build/release --target isolation >/dev/null || exit 1
exec build/release/tests/isolation --inputs 1000000 "$@"
