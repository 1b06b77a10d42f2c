#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Talk to a guest's console: run a command, wait for what it prints, type lines.

usage: console.py [--timeout S] [--log FILE] [--pty COLUMNSxROWS] STEP... -- COMMAND...
STEP is expect:REGEX (from where the last one matched), refuse:REGEX (must not have appeared so far), send:LINE, type:KEYS
(with Python's escapes), sleep:SECONDS, signal:NAME (to the command), or close: (standard input; on a terminal, its end).
The command then has until the timeout to end.  Exit status: the command's own; 125 when a step fails, with the end of the
console on standard error; 124 when the time is over.

With --pty the command is on a terminal of that size, in a session of its own; steps are then also resize:COLUMNSxROWS,
raw: and cooked: (the terminal's mode, waited for).  A terminal that is not given back as it was is a failure.
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time


class Console:
    def __init__(self, command, timeout):
        self.end = time.monotonic() + timeout
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.seen = b""
        self.matched = 0
        self.open = True

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()

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
        self.write(line.encode() + b"\n")

    def finish(self):
        while self.open:
            self.read()
        return self.process.wait(max(0.1, self.end - time.monotonic()))


class Terminal(Console):
    """The same on a pseudo-terminal."""

    def __init__(self, command, timeout, size):
        self.end = time.monotonic() + timeout
        self.master, self.slave = pty.openpty()
        self.resize(size)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.seen = b""
        self.matched = 0
        self.open = True

    def resize(self, size):
        columns, rows = map(int, size.split("x"))
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def write(self, data):
        os.write(self.master, data)

    def close(self):
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = -1
        self.open = False

    def send(self, line):
        self.write(line.encode() + b"\r")

    def read(self):
        """As above; the slave is held open here, so its end is that of the command."""
        while time.monotonic() < self.end:
            if select.select([self.master], [], [], 0.1)[0]:
                data = os.read(self.master, 65536)
                self.seen += data
                return data
            if self.process.poll() is not None:
                self.open = False
                return b""
        raise TimeoutError

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ISIG | termios.ECHO)

    def wait_for_mode(self, raw):
        while self.is_raw() != raw:
            if time.monotonic() > self.end:
                raise TimeoutError
            time.sleep(0.02)

    def finish(self):
        status = super().finish()
        if self.slave >= 0 and termios.tcgetattr(self.slave) != self.before:
            return fail(self, 125, "the terminal is not as it was")
        return status


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
        elif kind == "type":
            console.write(text.encode().decode("unicode_escape").encode("latin-1"))
        elif kind == "sleep":
            time.sleep(float(text))
        elif kind == "signal":
            console.process.send_signal(getattr(signal, "SIG" + text))
        elif kind == "close":
            console.close()
        elif kind == "resize" and isinstance(console, Terminal):
            console.resize(text)
        elif kind in ("raw", "cooked") and isinstance(console, Terminal):
            console.wait_for_mode(kind == "raw")
        else:
            return fail(console, 125, "bad step '%s'" % step)
    return console.finish()


def main():
    args = sys.argv[1:]
    timeout, log, size = 60.0, None, None
    while args and args[0] in ("--timeout", "--log", "--pty"):
        if args[0] == "--timeout":
            timeout = float(args[1])
        elif args[0] == "--pty":
            size = args[1]
        else:
            log = args[1]
        args = args[2:]
    if "--" not in args:
        sys.exit(__doc__)
    at = args.index("--")
    console = Terminal(args[at + 1:], timeout, size) if size else Console(args[at + 1:], timeout)
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
