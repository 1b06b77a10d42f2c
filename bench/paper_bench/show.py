# SPDX-License-Identifier: MIT
"""Figures as text and as drawings: ours beside the paper's."""
import os
import textwrap

import chart
import measure

WIDTH = 100
ADD_UP = {"figure5": ["user", "kernel", "disco", "idle"], "figure6": ["private", "disk-blocks", "equal", "zero", "disco"],
          "figure8": ["exec", "local", "remote", "disco", "idle"]}
PANEL_WIDTH, LETTER_WIDTH = 780, 7
PALETTE = ["#2f6db3", "#9cc29a", "#c0504d", "#d9d9d9", "#7fa8d6", "#8172b3"]


def number(v):
    if v is None:
        return "-"
    return "%.0f" % v if abs(v) >= 100 else "%.1f" % v if abs(v) >= 10 else "%.2f" % v if abs(v) >= 0.1 or v == 0 else "%.3f" % v


def total(values):
    return values["total"] if "total" in values else sum(values.values())


def columns(figure):
    """Parts that some row has, of each side; and a total where the parts of a row add up."""
    adds_up = figure["id"] == "figure5"  # the others have a total among their parts
    out = []
    for side in ("ours", "paper"):
        rows = [r[side] for r in figure["rows"] if r[side]]
        out += [(side, p) for p in figure["parts"] if any(p in r for r in rows)]
        if adds_up and rows:
            out.append((side, None))
    return out


def text(figure):
    cols = columns(figure)
    heads = ["  %7s" % (part or "total") for _, part in cols]
    width = max([len(r["name"]) for r in figure["rows"]] + [10])
    sides = {side: sum(len(h) for (s, _), h in zip(cols, heads) if s == side) for side in ("ours", "paper")}
    lines = ["%s (%s)" % (figure["title"], figure["unit"]), "",
             " " * width + "".join("  %s" % side + "." * (n - len(side) - 2) for side, n in sides.items() if n),
             " " * width + "".join(heads)]
    for r in figure["rows"]:
        cells = []
        for (side, part), head in zip(cols, heads):
            values = r[side]
            v = None if not values else sum(values.values()) if part is None else values.get(part)
            cells.append("%*s" % (len(head), number(v)))
        lines.append("%-*s" % (width, r["name"]) + "".join(cells))
    for head, entries in (("What differs:", figure["differs"]), ("What is missing:", figure["missing"])):
        if entries:
            lines += ["", head]
            lines += [textwrap.fill(e, WIDTH, initial_indent="- ", subsequent_indent="  ") for e in entries]
    return "\n".join(lines) + "\n"


def bar_of(figure, values):
    """What is drawn of a row: its parts where they add up, else the first one that there is."""
    if figure["id"] in ADD_UP:
        return [(p, values[p]) for p in ADD_UP[figure["id"]] if p in values]
    first = next((p for p in figure["parts"] if values.get(p) is not None), None)  # e.g. a total
    return [(first, values[first])] if first else []


def draw(directory, figure, machine):
    """DIRECTORY/ID.svg, or None: there is nothing to draw."""
    groups = []
    for r in figure["rows"]:
        bars = [(side, bar_of(figure, r[side])) for side in ("ours", "paper") if r[side] and bar_of(figure, r[side])]
        if bars and not r["name"].endswith("M/V"):
            groups.append((r["name"], bars))
    if not groups:
        return None
    used = {part for _, bars in groups for _, parts in bars for part, _ in parts}
    colours = dict(zip(figure["parts"], PALETTE))
    # as many to a panel as their names leave room for
    some = max(1, min(6, PANEL_WIDTH // (LETTER_WIDTH * max(len(name) for name, _ in groups))))
    panels = [{"title": "ours, and the paper's" if at == 0 else "", "groups": groups[at:at + some]} for at in range(0, len(groups), some)]
    path = os.path.join(directory, figure["id"] + ".svg")
    chart.stacked(path, "%s" % figure["title"], panels, colours, {p: p for p in used}, measure.machine_line(machine))
    return path
