# SPDX-License-Identifier: MIT
"""What bench/boot and bench/load share: starting monitors, reading their console, figures, the bar chart."""
import os
import platform
import shutil
import statistics
import subprocess
import time

LIMIT_TAIL = 15


class Failed(Exception):
    """A run that did not get to its end; the text says which and shows the end of the console."""


def machine():
    model = "unknown CPU"
    try:
        with open("/proc/cpuinfo") as f:
            model = next((l.split(":", 1)[1].strip() for l in f if l.startswith("model name")), model)
    except OSError:
        pass
    return {"cpu": model, "cpus": os.cpu_count(), "host": "%s %s" % (platform.system(), platform.release())}


def machine_line(m):
    return "%s, %d CPUs, %s" % (m["cpu"], m["cpus"], m["host"])


def version(program):
    """First line of PROGRAM --version, or None if there is no such program."""
    if not shutil.which(program):
        return None
    out = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return out.splitlines()[0] if out else "unknown"


def disco_command(program, kernel, initrd, append, more=()):
    return [program, "run", "--kernel", kernel, "--initrd", initrd, "--mem", "256M", "--net", "none", "--append", append,
            *more]


def qemu_command(program, kernel, initrd, append):
    return [program, "-M", "malta", "-cpu", "34Kf", "-m", "256", "-vga", "none", "-net", "none", "-nographic",
            "-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append", append]


def add_options(parser):
    parser.add_argument("--disco", default="build/release/disco", metavar="FILE")
    parser.add_argument("--disco-args", default="", metavar="STRING",
                        help="more options of disco run, e.g. '--tiers 1'")
    parser.add_argument("--qemu", default="qemu-system-mipsel", metavar="FILE")
    parser.add_argument("--kernel", default="guest/cache/vmlinuz", metavar="FILE")
    parser.add_argument("--initrd", default="guest/cache/initramfs.cpio", metavar="FILE")
    parser.add_argument("--timeout", type=float, default=300, metavar="S",
                        help="seconds that one run may take (default 300)")
    parser.add_argument("--json", metavar="FILE", help="all figures; - is standard output, without the table")


def check_files(parser, args):
    for option, path in (("--disco", args.disco), ("--kernel", args.kernel), ("--initrd", args.initrd)):
        if not os.path.isfile(path):
            parser.error("%s %s: no such file" % (option, path))


def run(command, marks, limit_s):
    """Run to the end. Returns ([seconds from start to each of marks], seconds to the end, console output)."""
    start = time.monotonic()
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.set_blocking(p.stdout.fileno(), False)
    seen = b""
    at = [None] * len(marks)
    try:
        while True:
            try:
                data = os.read(p.stdout.fileno(), 65536)
            except BlockingIOError:
                data = None
            now = time.monotonic() - start
            if data == b"":
                break
            if data:
                seen += data
                at = [now if t is None and mark in seen else t for t, mark in zip(at, marks)]
            elif now > limit_s:
                raise Failed("no end after %g s: %s\n%s" % (limit_s, " ".join(command), tail(seen)))
            else:
                time.sleep(0.001)
        status = p.wait()
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
    total = time.monotonic() - start
    if status != 0 or None in at:
        missing = [m.decode() for t, m in zip(at, marks) if t is None]
        raise Failed("status %d%s: %s\n%s" % (status, ", never printed '%s'" % missing[0] if missing else "",
                                              " ".join(command), tail(seen)))
    return at, total, seen


def tail(output):
    return "\n".join(output.decode(errors="replace").splitlines()[-LIMIT_TAIL:])


def summary(values):
    """Median and spread. mad_s: the median distance from the median, which one disturbed round does not move."""
    median = statistics.median(values)
    return {"median_s": median, "mad_s": statistics.median(abs(v - median) for v in values), "min_s": min(values),
            "max_s": max(values), "runs_s": values}


def cell(s):
    return "%.2f (%.2f-%.2f)" % (s["median_s"], s["min_s"], s["max_s"])


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def svg(path, title, rows, footer):
    """One bar for each (name, summary): the median; a line from the fastest to the slowest round."""
    scale = 480 / max(r["max_s"] for _, r in rows)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="720" height="%d" font-family="sans-serif" font-size="14">'
           % (60 + 40 * len(rows)),
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="10" y="22">%s</text>' % escape(title)]
    for i, (name, r) in enumerate(rows):
        y = 40 + 40 * i
        out.append('<text x="10" y="%d">%s</text>' % (y + 18, escape(name)))
        out.append('<rect x="90" y="%d" width="%.1f" height="26" fill="%s"/>'
                   % (y, r["median_s"] * scale, "#3b6ea5" if name == "disco" else "#b0b0b0"))
        out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="black" stroke-width="2"/>'
                   % (90 + r["min_s"] * scale, 90 + r["max_s"] * scale, y + 13, y + 13))
        out.append('<text x="%.1f" y="%d">%.2f</text>' % (100 + r["max_s"] * scale, y + 18, r["median_s"]))
    out.append('<text x="10" y="%d" font-size="11">%s</text>' % (50 + 40 * len(rows), escape(footer)))
    out.append("</svg>\n")
    with open(path, "w") as f:
        f.write("\n".join(out))
