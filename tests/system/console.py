#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Talk to a guest's console: run a command, wait for what it prints, type lines.

usage: console.py [--timeout S] [--log FILE] STEP... -- COMMAND...
STEP is expect:REGEX (from where the last one matched), refuse:REGEX (must not have appeared so far) or send:LINE.
The command then has until the timeout to end.  Exit status: the command's own; 125 when a step fails, with the end of the
console on standard error; 124 when the time is over.
"""
import os
import re
import select
import subprocess
import sys
import time


class Console:
    def __init__(self, command, timeout):
        self.end = time.monotonic() + timeout
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.seen = b""
        self.matched = 0
        self.open = True

    def read(self):
        """More output, or b"" at its end. TimeoutError when the time is over."""
        left = self.end - time.monotonic()
        if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
            raise TimeoutError
        data = os.read(self.process.stdout.fileno(), 65536)
        self.open = bool(data)
        self.seen += data
        return data

    def expect(self, pattern):
        regex = re.compile(pattern.encode(), re.MULTILINE)
        while True:
            m = regex.search(self.seen, self.matched)
            if m:
                self.matched = m.end()
                return True
            if not self.open or not self.read():
                return False

    def send(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def finish(self):
        while self.open:
            self.read()
        return self.process.wait(max(0.1, self.end - time.monotonic()))


def fail(console, status, text):
    tail = b"\n".join(console.seen.replace(b"\r", b"").split(b"\n")[-25:])
    print("console: %s; the last lines were:\n%s" % (text, tail.decode(errors="replace")), file=sys.stderr)
    console.process.kill()
    console.process.wait()
    return status


def run(steps, console):
    for step in steps:
        kind, _, text = step.partition(":")
        if kind == "expect":
            if not console.expect(text):
                return fail(console, 125, "ended before '%s'" % text)
        elif kind == "refuse":
            if re.search(text.encode(), console.seen):
                return fail(console, 125, "'%s' appeared" % text)
        elif kind == "send":
            console.send(text)
        else:
            return fail(console, 125, "bad step '%s'" % step)
    return console.finish()


def main():
    args = sys.argv[1:]
    timeout, log = 60.0, None
    while args and args[0] in ("--timeout", "--log"):
        if args[0] == "--timeout":
            timeout = float(args[1])
        else:
            log = args[1]
        args = args[2:]
    if "--" not in args:
        sys.exit(__doc__)
    at = args.index("--")
    console = Console(args[at + 1:], timeout)
    try:
        status = run(args[:at], console)
    except (TimeoutError, subprocess.TimeoutExpired):
        status = fail(console, 124, "no more within %g s" % timeout)
    except BrokenPipeError:
        status = fail(console, 125, "the command ended early")
    if log:
        with open(log, "wb") as f:
            f.write(console.seen)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
