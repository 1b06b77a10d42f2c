# SPDX-License-Identifier: MIT
"""bench/vs-qemu's chart: for each program, how many times as fast as QEMU each machine is, on a logarithmic axis."""
import math

import measure

INK, SOFT, GRID = "#1f2933", "#66788a", "#dde3e9"
COLOUR = {"disco": "#2f6db3", "host": "#b8c4d0"}
LEFT, RIGHT, TOP, ROW = 110, 70, 96, 34
WIDTH = 860


def ticks(low, high):
    """1, 2 and 5 times powers of ten between the two."""
    out = []
    for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        out += [m * 10.0 ** e for m in (1, 2, 5) if low <= m * 10.0 ** e <= high]
    return out


def text(x, y, s, size=13, colour=INK, anchor="start", weight="normal"):
    return ('<text x="%.1f" y="%.1f" font-size="%d" fill="%s" text-anchor="%s" font-weight="%s">%s</text>'
            % (x, y, size, colour, anchor, weight, measure.escape(s)))


def speedups(row):
    """{machine: (median, least, greatest)} of QEMU's median time by the machine's."""
    qemu = row["times"].get("qemu")
    if not qemu or row["problem"]:
        return {}
    return {m: tuple(qemu["median_s"] / max(row["times"][m][k], 1e-3) for k in ("median_s", "max_s", "min_s"))
            for m in ("disco", "host") if m in row["times"]}


def write(path, result):
    rows = [(r["name"], speedups(r)) for r in result["programs"]]
    values = [v for _, s in rows for triple in s.values() for v in triple] + [1.0]
    low, high = min(0.5, min(values) * 0.9), max(2.0, max(values) * 1.1)
    span = WIDTH - LEFT - RIGHT
    height = TOP + ROW * len(rows) + 70

    def x(v):
        return LEFT + span * math.log(v / low) / math.log(high / low)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
           'font-family="Helvetica, Arial, sans-serif">' % (WIDTH, height, WIDTH, height),
           '<rect width="100%" height="100%" fill="white"/>',
           text(16, 28, "Speed of Debian's mipsel programs: QEMU = 1", 18, weight="bold"),
           text(16, 48, "median of %d rounds in turn, boot not counted; the line is the fastest to the slowest round"
                % result["rounds"], 12, SOFT)]
    legend = 16
    for m, label in (("disco", "Disco"), ("host", "the host's own programs, not emulated")):
        if any(m in s for _, s in rows):
            out.append('<rect x="%d" y="58" width="12" height="12" rx="2" fill="%s"/>' % (legend, COLOUR[m]))
            out.append(text(legend + 18, 69, label, 12))
            legend += 90
    bottom = TOP + ROW * len(rows)
    for t in ticks(low, high):
        out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s" stroke-width="%s"/>'
                   % (x(t), x(t), TOP - 8, bottom, INK if t == 1 else GRID, "1.5" if t == 1 else "1"))
        out.append(text(x(t), bottom + 16, "%g" % t, 11, SOFT, "middle"))
    if result["geometric_mean"]:
        g = x(result["geometric_mean"])
        out.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s" stroke-dasharray="4 3"/>'
                   % (g, g, TOP - 8, bottom, COLOUR["disco"]))
        out.append(text(g, TOP - 12, "geometric mean %.2f" % result["geometric_mean"], 11, COLOUR["disco"], "middle"))
    for i, (name, s) in enumerate(rows):
        y = TOP + ROW * i
        out.append(text(LEFT - 10, y + ROW / 2 + 1, name, 13, anchor="end"))
        if not s:
            out.append(text(x(1) + 6, y + ROW / 2 + 1, "no comparison", 11, SOFT))
        bar = 22 if len(s) == 1 else 12
        for k, (m, (median, least, most)) in enumerate(s.items()):
            top = y + 4 + k * (bar + 1)
            a, b = sorted((x(1), x(median)))
            out.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%d" rx="2" fill="%s"/>'
                       % (a, top, max(b - a, 1), bar, COLOUR[m]))
            middle = top + bar / 2
            out.append('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="%s"/>'
                       % (x(least), x(most), middle, middle, INK))
            figure = "%.2f" % median if median < 10 else "%.0f" % median
            out.append(text(max(b, x(most)) + 6, middle + 4, figure, 11, INK if m == "disco" else SOFT))
    machines = "; ".join("%s: %s" % (m, what) for m, what in result["machines"].items() if m != "host")
    out.append(text(16, height - 28, machines, 11, SOFT))
    out.append(text(16, height - 12, measure.machine_line(result["machine"]), 11, SOFT))
    out.append("</svg>\n")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out))


def legend_row(out, x, y, names, colours, titles):
    for name in names:
        out.append('<rect x="%.1f" y="%.1f" width="12" height="12" rx="2" fill="%s"/>' % (x, y - 11, colours[name]))
        out.append(text(x + 17, y, titles[name], 12))
        x += 30 + 7 * len(titles[name])


def panel(out, top, p, colours, titles):
    """Groups of bars side by side, each bar in parts from the bottom, its total above it."""
    height, left, right, bar, gap = 190, 60, WIDTH - 20, 34, 8
    most = max(sum(v for _, v in parts) for _, bars in p["groups"] for _, parts in bars)
    out.append(text(16, top, p["title"], 14, weight="bold"))
    legend_row(out, left + 180, top, list(dict.fromkeys(c for _, bars in p["groups"] for _, parts in bars for c, _ in parts)), colours, titles)
    base = top + 30 + height
    for t in ticks(most / 20, most)[-3:]:
        y = base - t / most * height
        out.append('<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="%s"/>' % (left, right, y, y, GRID))
        out.append(text(left - 6, y + 4, "%g" % t, 11, SOFT, "end"))
    step = (right - left) / len(p["groups"])
    for i, (name, bars) in enumerate(p["groups"]):
        x = left + step * (i + 0.5) - (len(bars) * (bar + gap) - gap) / 2
        out.append(text(left + step * (i + 0.5), base + 32, name, 12, anchor="middle"))
        for what, parts in bars:
            y = base
            for part, v in parts:
                out.append('<rect x="%.1f" y="%.1f" width="%d" height="%.1f" fill="%s"/>'
                           % (x, y - v / most * height, bar, v / most * height, colours[part]))
                y -= v / most * height
            out.append(text(x + bar / 2, y - 4, "%.0f" % sum(v for _, v in parts), 11, INK, "middle"))
            out.append(text(x + bar / 2, base + 15, what, 11, SOFT, "middle"))
            x += bar + gap
    return base + 40


def stacked(path, title, panels, colours, titles, footer):
    """bench/memory's chart: panels = [{"title", "groups": [(name, [(bar, [(part, value), ...]), ...]), ...]}, ...], one below the other."""
    body, y = [], 70
    for p in panels:
        y = panel(body, y, p, colours, titles) + 40
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
           'font-family="Helvetica, Arial, sans-serif">' % (WIDTH, y, WIDTH, y),
           '<rect width="100%" height="100%" fill="white"/>', text(16, 28, title, 18, weight="bold"), *body,
           text(16, y - 12, footer, 11, SOFT), "</svg>\n"]
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out))
