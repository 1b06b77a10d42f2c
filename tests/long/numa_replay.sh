#!/bin/bash
# SPDX-License-Identifier: MIT
# The simulated machine of numa/flash against the slow model: COUNT accesses (1e8) of 8 processors on the paper's machine, and a
# tenth of that on each of the other machines of tests/numa/numa_replay.c.
set -u
cd "$(dirname "$0")/../.." || exit 2
: "${COUNT:=100000000}"
cmake --build build/release --target numa_replay || exit 1
DISCO_COUNT=$COUNT build/release/tests/numa_replay --filter replay/eight_nodes || exit 1
DISCO_SEED=2 DISCO_COUNT=$((COUNT / 10)) build/release/tests/numa_replay
