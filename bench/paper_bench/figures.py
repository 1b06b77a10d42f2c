# SPDX-License-Identifier: MIT
"""From what was measured to figures beside the paper's: rows, and in words what differs and what is missing.

A figure is {"id", "title", "unit", "parts": [...], "rows": [{"name", "ours": {part: value} or None, "paper": likewise}], "differs": [...],
"missing": [...]}.  Nothing that was not measured has a number.
"""
from paper_bench import published

MIB = 1 << 20
NAMES = {"pmake": "Pmake", "engineering": "Engineering", "raytrace": "Raytrace", "database": "Database"}


class Raw:
    """What the steps have given; what is not there is said once."""

    def __init__(self, results):
        self.results = results

    def get(self, key, missing):
        r = self.results.get(key)
        if r and "result" in r:
            return r["result"]
        why = "not run" if not r else r.get("not_here") or "failed: %s" % r["error"].splitlines()[0]
        if not any(why in m for m in missing):
            missing.append("%s: %s" % (key, why))
        return None

    def keys(self, prefix):
        return sorted(k for k in self.results if k.startswith(prefix))


def figure(id_, title, unit, parts, rows, differs, missing):
    return {"id": id_, "title": title, "unit": unit, "parts": parts, "rows": rows, "differs": differs, "missing": missing}


# ---- figure 5 ----

def taken(run):
    """Seconds by part: the processor time of the monitor's process, split as the guest's clock has it, and on top the guest's idle time."""
    busy = run["guest_s"]["user"] + run["guest_s"]["kernel"]
    return {**{k: run["cpu_s"] * run["guest_s"][k] / busy if busy else 0.0 for k in ("user", "kernel")}, "idle": run["guest_s"]["idle"]}


def figure5(raw):
    missing, rows = [], []
    found = {s: [r for k in raw.keys("figure5-%s-" % s) for r in [raw.get(k, missing)] if r] for s in ("bare", "disco")}
    for key, name in NAMES.items():
        # of the rounds the one in the middle
        runs = {s: sorted((taken(r[key]) for r in found[s] if r.get(key, {}).get("cpu_s") is not None), key=lambda t: sum(t.values()))
                for s in found}
        base = sum(runs["bare"][(len(runs["bare"]) - 1) // 2].values()) if runs["bare"] else None
        for setting in ("bare", "disco"):
            one = runs[setting][(len(runs[setting]) - 1) // 2] if runs[setting] and base else None
            rows.append({"name": "%s, %s" % (name, setting), "ours": {k: 100 * v / base for k, v in one.items()} if one else None,
                         "paper": published.FIGURE_5[name][setting]})
    missing.append("Disco's own time as a part of its own: the guest's clock, which splits ours, counts it to whatever was interrupted by it")
    return figure("figure5", "Figure 5: one machine on one processor, bare = 100", "% of the bare machine's time",
                  ["user", "kernel", "disco", "idle"], rows, [
        "bare is the same guest on the same translator, alone: no page is shared and nobody looks for equal ones. The paper's bare machine had no monitor "
        "at all; what translation costs is in both of ours, and bench/vs-qemu has it.",
        "Time is not simulated: it is the processor time of the monitor's process, with its translator, which other work on the host does not change "
        "much, and on top of it the guest's idle time; of several rounds the one in the middle.",
        "Linux 6.1 for IRIX 5.3. Pmake: make -j2 of a generated C tree; Engineering: Icarus Verilog, two simulations of a CPU at once; Raytrace: "
        "the raytracer of guest/splashos/ on Linux; Database: SQLite, decision support, in one process.",
    ], missing)


# ---- table 2 ----

def table2(raw):
    missing, rows = [], []
    found = {s: (raw.get("table2-" + s, missing) or {}).get("services", {}).get("ns", {}) for s in ("bare", "disco")}
    for ns in found.values():  # execve is what a process with a program of its own takes more than one without
        if "exec_process" in ns and "plain_process" in ns:
            ns.setdefault("execve", ns["exec_process"] - ns["plain_process"])
    for key, paper in published.TABLE_2.items():
        ours, bare, disco = None, found["bare"].get(key), found["disco"].get(key)
        if bare and disco:
            ours = {"bare us": bare / 1000, "slowdown": disco / bare}
        rows.append({"name": paper["name"], "ours": ours, "paper": {"bare us": paper["us"], "slowdown": paper["slowdown"]}})
    missing += [
        "QUICK_FAULT: Linux has one refill handler, which walks the page tables itself; there is no slow one",
        "the five parts of a slowdown (kernel, TLB writes, other privileged instructions, monitor calls, kernel's TLB misses): privileged instructions "
        "are translated inline, in the bare machine too, and nobody stops a clock around them",
        "the percentage of system time: Linux does not count time by service",
    ]
    return figure("table2", "Table 2: kernel services", "bare: microseconds; slowdown under Disco", ["bare us", "slowdown"], rows, [
        "Measured from user mode, the least of seven: with the way into the kernel and back. execve is a process with a program less one without.",
        "UTLB_MISS is a load from more pages than the TLB has. Disco keeps what the guest's TLB has given up (L2TLB), so that most find their page "
        "there and the guest never knows: in the paper it is the one service that is called less often.",
        "The paper's kernel is relocated to mapped memory, and so misses in the TLB itself; ours is not, as the translator needs no such thing.",
    ], missing)


# ---- figure 6 ----

def figure6(raw):
    missing, rows = [], []
    data = raw.get("figure6", missing)
    ours = {r["name"]: r for r in data["runs"]} if data else {}
    paper = {p["name"]: p for p in data["paper"]} if data else {}
    for name in paper or ours:
        for what in "VM":
            mine = ours.get(name)
            rows.append({"name": "%s, %s" % (name, what),
                         "ours": {"total": sum(mine["end"][what].values()) / MIB,
                                  **{c: v / MIB for c, v in mine["end"][what].items()}} if mine else None,
                         "paper": {"total": sum(paper[name][what].values())}})
        if name in ours:
            p = paper[name]
            rows.append({"name": "%s, M/V" % name, "ours": {"total": ours[name]["m_by_v"]},
                         "paper": {"total": sum(p["M"].values()) / sum(p["V"].values())}})
        else:
            missing.append("%s: not in this run (--quick)" % name)
    return figure("figure6", "Figure 6: memory of machines that compile, V if nothing was shared, M as it is", "MiB (the paper: MB)",
                  ["total", "private", "disk-blocks", "equal", "zero", "disco"], rows, [
        "Debian's kernel and compiler for IRIX's; the classes are what stands for a page, not what the kernel uses it for.",
        "disco: what the monitor takes itself, mostly translations, which the paper's did not need: its 5 MB are code and tables.",
    ], missing)


# ---- figure 7 ----

def figure7(raw):
    missing, rows = [], []
    runs = {k: raw.get(k, missing) for k in raw.keys("figure7-")}
    runs = {r["machines"]: r for r in runs.values() if r}
    base = runs.get(1)
    for n, name in ((1, "1 VM"), (2, "2 VMs"), (4, "4 VMs"), (8, "8 VMs")):
        ours = None
        if base and n in runs:
            ours = {"total": 100 * runs[n]["wall_s"] / base["wall_s"], "CPU time": 100 * runs[n]["cpu_s"] / base["cpu_s"]}
        rows.append({"name": "Pmake, " + name, "ours": ours,
                     "paper": {"total": 100 * published.FIGURE_7[name] / published.FIGURE_7["1 VM"]}})
    linux, splash = raw.get("radix-linux", missing), raw.get("radix-splashos", missing)
    rows.append({"name": "Radix, Linux (IRIX)", "ours": {"total": 100.0} if linux else None, "paper": {"total": 100}})
    rows.append({"name": "Radix, SPLASHOS", "ours": {"total": 100 * splash["us"] / linux["us"]} if linux and splash else None,
                 "paper": {"total": published.RADIX["SPLASHOS"]}})
    missing += ["IRIX on eight processors without a monitor, and what 1 VM loses against it: there is no Linux guest with several vCPUs yet",
                "the split into user, stall, synchronisation: these are of the simulated machine's caches and of one kernel's locks"]
    return figure("figure7", "Figure 7: the same work in 1, 2, 4 and 8 machines, 1 VM = 100; Radix on two operating systems, Linux = 100",
                  "% of the time of one machine", ["total", "CPU time"], rows, [
        "The paper's figures are by its 1 VM (136 %% of IRIX), which has eight vCPUs; ours has one, on %s processors of this host, so that what is gained "
        "is mostly processors." % (base["processors"] if base else "the"),
        "CPU time is all that the monitor's process took: it says what more machines cost.",
        "Radix has one thread on both, the fastest of ten sorts in one run, when it has been translated; one source, compiled by gcc in the guest and by clang for SPLASHOS. In the paper IRIX loses by page faults of eight at once, which one thread cannot show.",
    ], missing)


# ---- figure 8, table 3 ----

STALLS = {"exec": ("executed", "l2_stall"), "local": ("local_stall",), "remote": ("remote_stall",), "disco": ("monitor",), "idle": ("idle",)}


def local_of(run):
    local, remote = (run["counters"][k] for k in ("local", "remote"))
    return 100 * local / (local + remote) if local + remote else None


def stalls_of(run, total):
    """The total, split as the processors' cycles were."""
    cycles = {part: sum(run["counters"][k] for k in keys) for part, keys in STALLS.items()}
    return {part: total * c / sum(cycles.values()) for part, c in cycles.items()} if sum(cycles.values()) else {}


def figure8(raw):
    missing, rows = [], []
    for name in ("Engineering", "Raytrace", "Radix"):
        runs = {p: raw.get("figure8-%s-%s" % (name.lower(), p), missing) for p in ("off", "on", "uma")} if name != "Engineering" else {}
        base = runs.get("off")
        for place, label in (("off", "nothing moves"), ("on", "Disco"), ("uma", "all memory local")):
            r, ours = runs.get(place), None
            if r and base:
                total = 100 * r["us"] / base["us"]
                parts = stalls_of(r, total)
                if place == "uma":  # another node's memory is as near
                    parts["local"] += parts.pop("remote")
                ours = {"time": total, **parts, "local %": 100.0 if place == "uma" else local_of(r)}
            paper = published.FIGURE_8.get(name, {}).get(place)
            rows.append({"name": "%s, %s" % (name, label), "ours": ours,
                         "paper": {"time": sum(paper.values()), **paper, "local %": published.LOCAL_PERCENT[name][place]} if paper else None})
        on = runs.get("on")
        if base and on and on["us"] >= base["us"]:
            missing.append("%s: a gain: with %d moves and %d copies %.0f %% of the misses are local, and %.0f without" % (
                name, on["log"]["decisions"]["migrate"], on["log"]["decisions"]["replicate"], local_of(on) or 0, local_of(base) or 0))
        if len({r["result"] for r in runs.values() if r}) > 1:
            missing.append("%s: the runs' results differ, which is a bug" % name)
    missing.append("Engineering: twelve processes on eight processors of one machine: there is no Linux guest with several vCPUs yet")
    return figure("figure8", "Figure 8: pages that move and are copied, nothing moves = 100", "% of the simulated time",
                  ["time", "exec", "local", "remote", "disco", "idle", "local %"], rows, [
        "Simulated time of the FLASH model (numa/flash/), with contention, of the program's parallel part; its parts are those of the whole run.",
        "The library OS for IRIX. Raytrace: the raytracer of guest/splashos/, 16 vCPUs on 16 nodes, 10240 spheres in a grid (0.9 MB), the paper's caches: 32 KB, and "
        "256 KB. Radix: 8 on 8, and 1 MB; the paper has no such figure.",
        "Raytrace, nothing moves: one thread makes the scene, and by first touch its node has all of it, which all wait for: 1 of 16 processors is near it, which is "
        "the paper's 6 %; that its contention is such a place's we infer from its latencies. Radix: pages are dealt out in turn, as the paper's IRIX had them.",
        "All memory local: 300 ns for every miss, and nobody waits.",
        "The paper measured without the beginning; ours has it: as long as few pages are hot nothing has moved, and what a page costs to copy 15 times is paid once "
        "for a run of any length. With 384 x 384 pixels 70 % of Raytrace's misses were local, with 512 x 512 80, and with 1024 x 1024 94.",
        "Radix does not gain: each pass reads and writes a page's 32 lines once or twice in 100 ms, and hot is 128 misses; what is hotter is written to by all.",
    ], missing)


def moves_of(run):
    out = {}
    for event, word in (("migrate", "migration"), ("replicate", "copy")):
        n, seconds = run["log"]["decisions"][event], run["log"]["seconds"]
        out["%s/s" % ("migrations" if event == "migrate" else "copies")] = n / seconds if seconds else None
        out["%s us" % word] = run["log"]["cost-ns"][event] / 1000 / n if n else None
    return out


def table3(raw):
    missing, rows = [], []
    for name in ("Engineering", "Raytrace", "Radix"):
        r = raw.get("figure8-%s-on" % name.lower(), missing) if name != "Engineering" else None
        paper = published.TABLE_3.get(name)
        rows.append({"name": name, "ours": moves_of(r) if r else None,
                     "paper": {"migrations/s": paper["migrations"], "migration us": paper["migration_us"],
                               "copies/s": paper["replications"], "copy us": paper["replication_us"]} if paper else None})
    missing.append("Engineering: as in figure 8")
    return figure("table3", "Table 3: page moves", "a simulated second, and microseconds of the processor that missed",
                  ["migrations/s", "migration us", "copies/s", "copy us"], rows, [
        "Our runs are shorter than the paper's, and begin with nothing in place: most moves are at the beginning.",
        "Interrupt, decision and tables are 20 us of ours by assumption (trap-ns, shootdown-ns of --numa flash); the copy goes through the simulated caches.",
    ], missing)


ALL = {"figure5": figure5, "figure6": figure6, "figure7": figure7, "figure8": figure8, "table2": table2, "table3": table3}


def make(results, wanted):
    raw = Raw(results)
    return [ALL[name](raw) for name in ALL if name in wanted]
