# SPDX-License-Identifier: MIT
"""The parts of `disco bench paper`, on what a run has recorded (bench_paper.json) and on lines that are made up."""
import json
import os
import sys
import tempfile
import types
import unittest
import xml.dom.minidom

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../../bench"), os.path.join(HERE, "../../bench/programs")]
import measure  # noqa: E402
from paper_bench import figures, guests, published, runs, show  # noqa: E402

MACHINE = {"cpu": "a CPU", "cpus": 2, "host": "Linux"}


def recorded():
    with open(os.path.join(HERE, "bench_paper.json"), encoding="utf-8") as f:
        return json.load(f)


def row(figure, name):
    return next(r for r in figure["rows"] if r["name"] == name)


class Lines(unittest.TestCase):
    def test_workloads(self):
        lines = [(1.0, 0.5, "vm| paper: start pmake 100 20 30"), (1.5, 0.9, "noise"), (3.0, 2.0, "paper: end pmake 0 250 40 50"),
                 (3.1, 2.0, "paper: sum pmake abc"), (3.2, 2.0, "paper: service open 42.5"), (3.3, 2.0, "paper: line radix: ok, 5 keys, 77 us"), (3.3, 2.0, "paper: line radix: ok, 5 keys, 99 us"),
                 (3.4, 2.0, "paper: end never 0 1 2 3"), (3.5, 2.0, "paper: start short 1")]
        found, done = guests.parse_workloads(lines)
        self.assertFalse(done)
        self.assertEqual(found["pmake"], {"wall_s": 2.0, "cpu_s": 1.5, "status": 0, "sum": "abc",
                                          "guest_s": {"user": 1.5, "kernel": 0.2, "idle": 0.2}})
        self.assertEqual(found["services"]["ns"], {"open": 42.5})
        self.assertEqual(found["radix"]["us"], 77)
        self.assertNotIn("never", found)
        self.assertTrue(guests.parse_workloads([(0, 0, "paper: done")])[1])


class Figures(unittest.TestCase):
    def test_recorded(self):
        """What a run has given is in the figures, each number by itself."""
        results = recorded()
        made = {f["id"]: f for f in figures.make(results, set(figures.ALL))}
        bare, disco = (results["figure5-%s-1" % s]["result"]["engineering"] for s in ("bare", "disco"))
        ours = row(made["figure5"], "Engineering, disco")["ours"]
        self.assertAlmostEqual(sum(ours.values()), 100 * (disco["cpu_s"] + disco["guest_s"]["idle"]) / (bare["cpu_s"] + bare["guest_s"]["idle"]))
        self.assertAlmostEqual(ours["user"] / ours["kernel"], disco["guest_s"]["user"] / disco["guest_s"]["kernel"])
        self.assertAlmostEqual(sum(row(made["figure5"], "Engineering, bare")["ours"].values()), 100)
        services = [results["table2-" + s]["result"]["services"]["ns"]["open"] for s in ("bare", "disco")]
        self.assertAlmostEqual(row(made["table2"], "open")["ours"]["slowdown"], services[1] / services[0])
        self.assertIsNone(row(made["table2"], "QUICK_FAULT")["ours"])
        memory = {r["name"]: r for r in results["figure6"]["result"]["runs"]}
        self.assertAlmostEqual(row(made["figure6"], "8 VMs, M/V")["ours"]["total"], memory["8 VMs"]["m_by_v"])
        self.assertAlmostEqual(row(made["figure6"], "8 VMs, M/V")["paper"]["total"], 0.49, places=2)
        one, four = (results["figure7-%d" % n]["result"]["wall_s"] for n in (1, 4))
        self.assertAlmostEqual(row(made["figure7"], "Pmake, 4 VMs")["ours"]["total"], 100 * four / one)
        self.assertIsNone(row(made["figure7"], "Pmake, 8 VMs")["ours"])
        self.assertAlmostEqual(row(made["figure7"], "Pmake, 8 VMs")["paper"]["total"], 100 * 60 / 136)

    def test_nodes(self):
        def run(us, local, remote, executed):
            return {"us": us, "result": "hash 1", "log": {"seconds": 2.0, "decisions": {"migrate": 8, "replicate": 0}, "cost-ns": {
                "migrate": 400000, "replicate": 0}}, "counters": {"local": local, "remote": remote, "executed": executed, "l2_stall": 0,
                                                                  "local_stall": 20, "remote_stall": 30, "monitor": 10, "idle": 0}}
        results = {"figure8-raytrace-" + p: {"result": r} for p, r in (("off", run(400, 1, 9, 40)), ("on", run(200, 30, 10, 40)),
                                                                      ("uma", run(100, 5, 5, 40)))}
        made = {f["id"]: f for f in figures.make(results, {"figure8", "table3"})}
        off, on, uma = (row(made["figure8"], "Raytrace, " + n)["ours"] for n in ("nothing moves", "Disco", "all memory local"))
        self.assertEqual((off["time"], off["local %"], on["time"], on["local %"]), (100.0, 10.0, 50.0, 75.0))
        self.assertAlmostEqual(on["exec"], 20)
        self.assertAlmostEqual(on["remote"], 15)
        self.assertEqual((uma["time"], uma["local %"]), (25.0, 100.0))
        self.assertAlmostEqual(uma["local"], 12.5)
        self.assertNotIn("remote", uma)
        self.assertFalse(any("a gain" in m for m in made["figure8"]["missing"]))
        self.assertIsNone(row(made["figure8"], "Engineering, Disco")["ours"])
        self.assertIsNone(row(made["figure8"], "Radix, Disco")["ours"])
        self.assertEqual(row(made["table3"], "Raytrace")["ours"], {"migrations/s": 4.0, "migration us": 50.0, "copies/s": 0.0, "copy us": None})
        results["figure8-raytrace-on"]["result"].update(result="hash 2", us=400)
        self.assertIn("Raytrace: a gain: with 8 moves and 0 copies 75 % of the misses are local, and 10 without",
                      figures.make(results, {"figure8"})[0]["missing"])
        self.assertIn("Raytrace: the runs' results differ, which is a bug", figures.make(results, {"figure8"})[0]["missing"])

    def test_nothing_is_filled_in(self):
        """Without results there are the paper's numbers, none of ours, and each step is said to be missing."""
        results = {"figure8-raytrace-off": {"not_here": "no simulated machine"}, "figure6": {"error": "it broke\nand more"}}
        for f in figures.make(results, set(figures.ALL)):
            self.assertFalse(any(r["ours"] for r in f["rows"] if not r["name"].startswith("Radix, Linux")), f["id"])
            self.assertTrue(f["missing"] and f["differs"], f["id"])
        made = {f["id"]: f for f in figures.make(results, set(figures.ALL))}
        self.assertIn("figure8-raytrace-off: no simulated machine", made["figure8"]["missing"])
        self.assertIn("figure6: failed: it broke", made["figure6"]["missing"])

    def test_published(self):
        """Parts of bars add up to what the text says, to what was measured in the drawing."""
        totals = {"Pmake": 116, "Engineering": 106, "Raytrace": 103, "Database": 116}
        for name, total in totals.items():
            self.assertAlmostEqual(sum(published.FIGURE_5[name]["bare"].values()), 100, delta=0.3)
            self.assertAlmostEqual(sum(published.FIGURE_5[name]["disco"].values()), total, delta=0.5)
        for name, total in {"Engineering": 67, "Raytrace": 62}.items():
            self.assertAlmostEqual(sum(published.FIGURE_8[name]["on"].values()), total, delta=0.5)
        for service in published.TABLE_2.values():
            if service["name"] != "write":  # the paper's own parts do not add up there
                self.assertAlmostEqual(sum(service["parts"]), service["slowdown"], delta=0.03)


class Shown(unittest.TestCase):
    def test_text_and_drawing(self):
        with tempfile.TemporaryDirectory() as work:
            for f in figures.make(recorded(), set(figures.ALL)):
                text = show.text(f)
                for r in f["rows"]:
                    self.assertIn(r["name"], text)
                for words in f["differs"] + f["missing"]:
                    self.assertIn(words.split()[0], text)
                path = show.draw(work, f, MACHINE)
                self.assertIsNotNone(path, f["id"])
                drawn = xml.dom.minidom.parse(path)
                self.assertGreater(len(drawn.getElementsByTagName("rect")), len(f["rows"]) // 2)

    def test_numbers(self):
        self.assertEqual([show.number(v) for v in (None, 0, 0.035, 0.5, 12.34, 123.4)], ["-", "0.00", "0.035", "0.50", "12.3", "123"])


class Kept(unittest.TestCase):
    """What has run is not run again; what failed is; what was run with something else is, too."""

    def go(self, directory, identity, outcomes):
        ran = []

        def step(key):
            def run():
                ran.append(key)
                if isinstance(outcomes[key], Exception):
                    raise outcomes[key]
                return outcomes[key]
            return runs.Step(key, key, run)
        original, runs.steps = runs.steps, lambda args: [step(k) for k in sorted(outcomes)]
        try:
            return runs.run_all(None, runs.Store(directory, identity), lambda line: None), ran
        finally:
            runs.steps = original

    def test_kept(self):
        outcomes = {"a": {"x": 1}, "b": measure.Failed("it broke"), "c": runs.NotHere("there is none")}
        with tempfile.TemporaryDirectory() as work:
            results, ran = self.go(work, {"disco": "1"}, outcomes)
            self.assertEqual(ran, ["a", "b", "c"])
            self.assertEqual(results["a"]["result"], {"x": 1})
            self.assertEqual((results["b"]["error"], results["c"]["not_here"]), ("it broke", "there is none"))
            outcomes["b"] = {"x": 2}
            results, ran = self.go(work, {"disco": "1"}, outcomes)
            self.assertEqual(ran, ["b"])
            self.assertEqual((results["a"]["result"], results["b"]["result"]), ({"x": 1}, {"x": 2}))
            _, ran = self.go(work, {"disco": "2"}, outcomes)
            self.assertEqual(ran, ["a", "b", "c"])
            with open(os.path.join(work, "runs/a.json"), "w", encoding="ascii") as f:
                f.write("{\"identity\": ")  # cut off
            _, ran = self.go(work, {"disco": "2"}, outcomes)
            self.assertEqual(ran, ["a"])

    def test_steps(self):
        """Each figure has its steps, and only those that are wanted."""
        for quick in (False, True):
            args = types.SimpleNamespace(quick=quick, only=set(figures.ALL))
            keys = [s.key for s in runs.steps(args)]
            self.assertEqual(len(keys), len(set(keys)))
            for name in figures.ALL:
                args.only = {name}
                own = [s.key for s in runs.steps(args)]
                self.assertTrue(own and set(own) <= set(keys), name)
        self.assertEqual(runs.numa_options("Raytrace", "uma").split(",")[:2], ["flash", "nodes=16"])


if __name__ == "__main__":
    unittest.main()
