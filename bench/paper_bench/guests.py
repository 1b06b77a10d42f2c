# SPDX-License-Identifier: MIT
"""Running what `disco bench paper` measures: a command, its lines with the times when they came, and what they say."""
import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time

import measure

TICK_HZ = 100
STATUS_USAGE = 2
CPU_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """Of all threads of a process so far; None: it is gone."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / CPU_TICK


class Refused(measure.Failed):
    """Disco has no such option, or not with that value: the text is its one line."""


class Process:
    """A command; its output line by line, each with the time when it came and the CPU time of the process until then."""

    def __init__(self, command, limit_s, env=None):
        self.command, self.end = command, time.monotonic() + limit_s
        self.seen, self.rest = b"", b""
        self.p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
        os.set_blocking(self.p.stdout.fileno(), False)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(20)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        self.p.stdout.close()

    def failed(self, why):
        return measure.Failed("%s: %s\n%s" % (" ".join(self.command), why, measure.tail(self.seen)))

    def lines(self):
        with selectors.DefaultSelector() as s:
            s.register(self.p.stdout, selectors.EVENT_READ)
            while True:
                left = self.end - time.monotonic()
                if left <= 0:
                    raise self.failed("no end in time")
                if not s.select(left):
                    continue
                data = self.p.stdout.read()
                if not data:
                    return
                now, cpu = time.monotonic(), cpu_seconds(self.p.pid)
                self.seen = (self.seen + data)[-100000:]
                *whole, self.rest = (self.rest + data).split(b"\n")
                for line in whole:
                    yield now, cpu, line.decode(errors="replace").strip()

    def status(self):
        return self.p.wait()


def take(workloads, open_, now, cpu, words):
    """One line of bench/paper.guest/run. open_: those that have begun."""
    what, name = words[1], words[2] if len(words) > 2 else ""
    if what == "start" and len(words) == 6:
        open_[name] = (now, cpu, [int(w) for w in words[3:6]])
    elif what == "end" and len(words) == 7 and name in open_:
        start, cpu_start, ticks = open_.pop(name)
        after = [int(w) for w in words[4:7]]
        parts = dict(zip(("user", "kernel", "idle"), ((b - a) / TICK_HZ for a, b in zip(ticks, after))))
        workloads[name] = {"wall_s": now - start, "cpu_s": cpu - cpu_start if None not in (cpu, cpu_start) else None,
                           "status": int(words[3]), "guest_s": parts}
    elif what == "sum" and len(words) == 4:
        workloads.setdefault(name, {})["sum"] = words[3]
    elif what == "service" and len(words) == 4:
        workloads.setdefault("services", {}).setdefault("ns", {})[name] = float(words[3])
    elif what == "line":
        m = re.search(r"(\d+) us$", " ".join(words))
        one = workloads.setdefault("radix", {})
        if m:  # the least of several
            one["us"] = min(one.get("us", int(m.group(1))), int(m.group(1)))


def parse_workloads(lines):
    """[(time, cpu, line)] of bench/paper.guest/run: {workload: figures}, and whether it came to its end."""
    workloads, open_, done = {}, {}, False
    for now, cpu, line in lines:
        words = line.split("paper: ", 1)
        words = ["paper:", *words[1].split()] if len(words) == 2 else []
        if len(words) > 1:
            take(workloads, open_, now, cpu, words)
            done |= words[1] == "done"
    return workloads, done


def share(bench, work, files):
    """What guests have at /mnt/share: the scripts, what they read, and the tree that is made."""
    import inputs
    out = os.path.join(work, "share")
    shutil.copytree(os.path.join(bench, "paper.guest"), os.path.join(out, "paper.guest"))
    shutil.copytree(os.path.join(bench, "programs"), os.path.join(out, "programs"))
    splash = os.path.join(bench, "..", "guest", "splashos")
    os.makedirs(os.path.join(out, "include/guest/splashos"))
    for name in ("splashos.h", "radix.c", "raytrace.c"):
        shutil.copy(os.path.join(splash, name), os.path.join(out, "include/guest/splashos"))
    for name, text in inputs.tree(files).items():
        path = os.path.join(out, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    return out


def debian(args, *more):
    return [args.disco, "run", "--disk", args.disk + ",mode=cow", "--control", "none", "--net", "none", *more]


def workloads(args, setting, names, scale, files):
    """The named workloads in one boot with the options of the setting."""
    with tempfile.TemporaryDirectory(prefix="disco-paper-") as work:
        command = debian(args, "--share", share(args.bench, work, files) + ",ro", *setting, "--", "sh", "/mnt/share/paper.guest/run",
                         "/mnt/share", str(scale), *names)
        with Process(command, args.timeout) as p:
            found, done = parse_workloads(p.lines())
            if p.status() or not done:
                raise p.failed("status %d before all was done" % p.p.returncode)
    for name in names:
        if found.get(name, {}).get("status") != 0:
            raise measure.Failed("%s: %s" % (name, "failed with status %s" % found.get(name, {}).get("status")))
    return found


def splash(args, name, vcpus, n, *more, append=""):
    """A program on SPLASHOS: microseconds of its parallel part by its own clock, and of the whole run by the host's."""
    command = [args.disco, "run", "--kernel", os.path.join(args.splash, name), "--vcpus", str(vcpus), "--mem", "128M", "--control",
               "none", "--append", ("n=%d %s" % (n, append)).strip(), *more]
    start = time.monotonic()
    p = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=args.timeout, check=False)
    m = re.search(r"^%s: ok, (.*), (\d+) us$" % name, p.stdout, re.M)
    said = (p.stderr.strip() or p.stdout.strip()).splitlines()
    if p.returncode == STATUS_USAGE and said:
        raise Refused(said[-1])
    if p.returncode or not m:
        raise measure.Failed("%s: status %d: %s" % (" ".join(command), p.returncode, said[-1] if said else "nothing was said"))
    return {"us": int(m.group(2)), "result": m.group(1), "wall_s": time.monotonic() - start, "command": command}
