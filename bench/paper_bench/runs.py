# SPDX-License-Identifier: MIT
"""What has to be run for each figure: steps, each with a key under which its result is kept, so that an interrupted one goes on."""
import json
import os
import subprocess
import sys
import tempfile
import time

import measure
from paper_bench import guests

BARE, DISCO = "bare", "disco"
# The bare machine: one machine, nothing is shared, nobody looks for equal pages.
SETTINGS = {BARE: [], DISCO: ["--several"]}
FIGURE_5 = ["pmake", "engineering", "raytrace", "database"]
NODES = {"Raytrace": 16, "Radix": 8}
# As the paper: the cache cut to 256 KB for Raytrace, whose data would have fitted.  One thread makes the scene, and so its node has it all.
NUMA_KEYS = {"Raytrace": ["l2=256K"], "Radix": ["place=round-robin"]}
SPHERES = 10240  # and their grid: 0.9 MB
PLACES = ("off", "on", "uma")


class NotHere(Exception):
    """What this machine, or this version of Disco, does not have: the text says what."""


class Step:
    def __init__(self, key, title, run):
        self.key, self.title, self.run = key, title, run


def size(args, full, quick):
    return quick if args.quick else full


# ---- figure 5, table 2 ----

def one_machine(args, setting, names):
    return guests.workloads(args, SETTINGS[setting], names, size(args, 4, 1), size(args, 10, 3))


# ---- figure 6 ----

def memory(args):
    machines = size(args, "1,2,4,8", "1,8")
    with tempfile.TemporaryDirectory(prefix="disco-paper-") as work:
        out = os.path.join(work, "memory.json")
        # the names that `disco run --disk` would find by itself
        base = os.path.splitext(args.disk)[0]
        command = [sys.executable, os.path.join(args.bench, "memory"), "--disco", args.disco, "--disk", args.disk, "--machines", machines,
                   "--files", str(size(args, 4, 1)), "--settle", str(size(args, 5, 2)), "--json", out, "--timeout", str(args.timeout)]
        for option, names in (("--kernel", (".vmlinux", ".vmlinuz")), ("--initrd", (".initrd",))):
            command += [option, next((base + n for n in names if os.path.exists(base + n)), base + names[0])]
        command += ["--nfs", "8"] if not args.quick else []
        p = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if p.returncode:
            raise measure.Failed("bench/memory: %s" % (p.stderr.strip().splitlines() or ["status %d" % p.returncode])[-1])
        with open(out, encoding="utf-8") as f:
            return json.load(f)


# ---- figure 7 ----

def split(args, machines):
    """As many machines, each with its part of the trees: from when all are ready until the last tree is made."""
    trees = size(args, 8, 4)
    with tempfile.TemporaryDirectory(prefix="disco-paper-") as work:
        shared = guests.share(args.bench, work, size(args, 6, 2))
        command = guests.debian(args, "--vms", str(machines), "--processors", str(os.cpu_count()), "--share", shared + ",ro", "--", "sh",
                                "/mnt/share/paper.guest/part", "{n}", str(machines), str(trees), "/mnt/share")
        ready, made, ticks, sums, start, cpu_start = 0, 0, [], set(), None, None
        with guests.Process(command, args.timeout) as p:
            for now, cpu, line in p.lines():
                words = line.split("paper: ", 1)[1].split() if "paper: " in line else [""]
                ready += words[0] == "ready"
                if ready == machines and start is None:
                    with open(os.path.join(shared, "go"), "w", encoding="ascii"):
                        pass
                    start, cpu_start = now, cpu
                if words[0] == "tree":
                    made += 1
                    sums.add(words[2])
                if words[0] == "ticks":
                    ticks.append([int(w) for w in words[2:5]])
                if len(ticks) == machines:
                    break
            if made != trees or len(sums) != 1 or len(ticks) != machines:
                raise p.failed("%d of %d trees were made, %d of %d machines have ended, %d different results" % (
                    made, trees, len(ticks), machines, len(sums)))
            return {"machines": machines, "trees": trees, "wall_s": now - start, "cpu_s": cpu - cpu_start,
                    "processors": os.cpu_count(), "command": command}


def radix(args, where):
    """The same sort on SPLASHOS and in Linux, with one thread: what the operating system takes."""
    n = 65536 * size(args, 64, 16)
    if where == "splashos":
        return {"us": guests.splash(args, "radix", 1, n, append="rounds=10")["us"], "n": n}
    found = guests.workloads(args, SETTINGS[BARE], ["radix"], n // 65536, 1)
    return {"us": found["radix"]["us"], "n": n}


# ---- figure 8, table 3 ----

def numa_options(name, place):
    """--numa flash: no page moves; the same, and the policy; all memory as near as a node's own, and nobody waits."""
    keys = ["nodes=%d" % NODES[name], "memory=256M", *NUMA_KEYS[name]]
    if place != "on":
        keys += ["migrate=off", "replicate=off"]
    if place == "uma":
        keys += ["remote-ns=300", "local-dirty-ns=450", "home-dirty-ns=450", "third-dirty-ns=450", "occupy-local-ns=0",
                 "occupy-remote-ns=0", "occupy-owner-ns=0", "occupy-writeback-ns=0"]
    return "flash," + ",".join(keys)


def numa(args, name, place):
    """Simulated microseconds of the program's parallel part, and what the log and --stats say of the whole run."""
    with tempfile.TemporaryDirectory(prefix="disco-paper-") as work:
        log, stats = os.path.join(work, "log"), os.path.join(work, "stats.json")
        more = ["--numa", numa_options(name, place), "--numa-log", log, "--stats=" + stats]
        try:
            if name == "Raytrace":
                run = guests.splash(args, "raytrace", NODES[name], size(args, 768, 512), *more, append="spheres=%d check=0" % SPHERES)
            else:
                run = guests.splash(args, "radix", NODES[name], size(args, 1 << 18, 1 << 16), *more)
        except guests.Refused as e:
            raise NotHere("guests do not run on the simulated machine here (%s)" % e) from None
        p = subprocess.run([args.disco, "numa", log, "--json"], capture_output=True, text=True, check=False)
        if p.returncode:
            raise measure.Failed("disco numa: %s" % p.stderr.strip())
        with open(stats, encoding="utf-8") as f:
            counters = json.load(f)["simulated"]
        said = json.loads(p.stdout)
        return {"us": run["us"], "result": run["result"], "wall_s": run["wall_s"], "command": run["command"], "counters": counters,
                "log": {k: said[k] for k in ("seconds", "decisions", "cost-ns", "nodes")}}


# ---- all ----

def steps(args):
    """In the order in which they run: short ones first."""
    out, wanted = [], args.only
    rounds = size(args, 3, 1)
    if "table2" in wanted:
        for setting in SETTINGS:
            out.append(Step("table2-" + setting, "table 2: kernel services, %s" % setting,
                            lambda s=setting: one_machine(args, s, ["services"])))
    if wanted & {"figure8", "table3"}:
        for name in NODES:
            for place in PLACES:
                out.append(Step("figure8-%s-%s" % (name.lower(), place), "figure 8: %s on %d nodes, %s" % (name, NODES[name], place),
                                lambda n=name, p=place: numa(args, n, p)))
    if "figure7" in wanted:
        out += [Step("radix-" + w, "figure 7: Radix, %s" % w, lambda w=w: radix(args, w)) for w in ("splashos", "linux")]
    if "figure5" in wanted:
        for r in range(1, rounds + 1):
            # in turn, and the other one first in each round
            for setting in sorted(SETTINGS, reverse=r % 2 == 0):
                out.append(Step("figure5-%s-%d" % (setting, r), "figure 5: round %d of %d, %s" % (r, rounds, setting),
                                lambda s=setting: one_machine(args, s, FIGURE_5)))
    if "figure7" in wanted:
        out += [Step("figure7-%d" % n, "figure 7: %d machine%s" % (n, "" if n == 1 else "s"), lambda n=n: split(args, n))
                for n in size(args, (1, 2, 4, 8), (1, 4))]
    if "figure6" in wanted:
        out.append(Step("figure6", "figure 6: memory of machines that compile", lambda: memory(args)))
    return out


class Store:
    """Results of steps, each a file; of other settings than these they are not taken."""

    def __init__(self, directory, identity):
        self.directory, self.identity = os.path.join(directory, "runs"), identity
        os.makedirs(self.directory, exist_ok=True)

    def path(self, key):
        return os.path.join(self.directory, key + ".json")

    def get(self, key):
        try:
            with open(self.path(key), encoding="utf-8") as f:
                kept = json.load(f)
        except (OSError, ValueError):
            return None
        return kept if kept.get("identity") == self.identity else None

    def put(self, key, result):
        with open(self.path(key) + ".new", "w", encoding="utf-8") as f:
            json.dump({"identity": self.identity, **result}, f, indent=1)
        os.replace(self.path(key) + ".new", self.path(key))


def run_all(args, store, say):
    """{key: {"result":} or {"not_here":} or {"error":}}; what is kept is not run again."""
    results, todo = {}, steps(args)
    began = time.monotonic()
    for i, step in enumerate(todo, 1):
        kept = store.get(step.key)
        head = "[%d/%d, %.0f s] %s" % (i, len(todo), time.monotonic() - began, step.title)
        if kept:
            say("%s: kept" % head)
            results[step.key] = kept
            continue
        say(head)
        start = time.monotonic()
        try:
            results[step.key] = {"result": step.run(), "took_s": time.monotonic() - start}
        except NotHere as e:
            results[step.key] = {"not_here": str(e)}
        except (measure.Failed, OSError, subprocess.SubprocessError) as e:
            results[step.key] = {"error": str(e)}
            say("%s: %s" % (step.title, str(e).splitlines()[0]))
            continue  # it is tried again the next time
        store.put(step.key, results[step.key])
    return results
