#!/bin/bash
# SPDX-License-Identifier: MIT
# 10,000 audits at random moments: tests/system/audit.sh.    usage: tests/long/audit.sh [--stops N] [--json FILE]
set -u
exec "$(dirname "$0")/../system/audit.sh" --stops 10000 "$@"
