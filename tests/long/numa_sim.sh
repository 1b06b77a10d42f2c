#!/bin/bash
# SPDX-License-Identifier: MIT
# Figure 8 on the simulated machine, without guests: synthetic loads long enough that pages have come to where they are used.
set -u
cd "$(dirname "$0")/../.." || exit 2
: "${COUNT:=1000000}" # accesses of each processor
cmake --build build/release --target numa_sim || exit 1
DISCO_COUNT=$COUNT build/release/tests/numa_sim
