# SPDX-License-Identifier: MIT
"""What the programs of bench/vs-qemu read, made afresh each time and always the same: text, a source tree, a load."""
import os

SYLLABLES = ("ba be bo ca ce co da de di fa fi ga go ha he ka ki la le lo ma me mi na ne no pa pe po ra re ri ro sa se "
             "so ta te ti to va ve vi wa we za").split()
TEXT_BYTES = 6000000


class Sequence:
    """Numerical Recipes' linear congruential generator; the high half of its state."""

    def __init__(self, seed):
        self.x = seed

    def below(self, n):
        self.x = (self.x * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self.x >> 16) * n >> 16


def text():
    """Lines of words, frequent ones more often, as compressors meet them."""
    r = Sequence(1)
    words = ["".join(SYLLABLES[r.below(len(SYLLABLES))] for _ in range(1 + r.below(4))) for _ in range(3000)]
    out, size = [], 0
    while size < TEXT_BYTES:
        line = []
        for _ in range(6 + r.below(9)):
            word = words[r.below(1 + r.below(1 + r.below(len(words))))]
            line.append(word.capitalize() if r.below(12) == 0 else word)
        line = " ".join(line) + (".\n" if r.below(3) else " %d\n" % r.below(10000))
        out.append(line)
        size += len(line)
    return "".join(out)[:TEXT_BYTES].encode()


def source(n):
    """One file of the tree: some functions of loops, switches and tables, which call those of the file before."""
    r = Sequence(1000 + n)
    lines = ['#include "tree.h"', "#include <stdlib.h>", "#include <string.h>", ""]
    for f in range(8):
        table = ", ".join(str(r.below(1000)) for _ in range(24))
        lines += ["static const int table%d[] = {%s};" % (f, table),
                  "int f%d_%d(int a, int b)" % (n, f), "{", "\tint s = %d;" % r.below(100), "",
                  "\tfor (int i = 0; i < %d; i++) {" % (8 + r.below(16)), "\t\tswitch ((a + i) & 7) {"]
        for c in range(8):
            lines += ["\t\tcase %d:" % c, "\t\t\ts %s= table%d[(unsigned)(s + b) %% 24] %s (a + %d);"
                      % ("+-^"[r.below(3)], f, "+-*"[r.below(3)], r.below(50)), "\t\t\tbreak;"]
        lines += ["\t\t}", "\t}"]
        if f:
            lines.append("\tif (s & 1)\n\t\ts += f%d_%d(b, s & 255);" % (n, f - 1))
        elif n:
            lines.append("\tif (s & 2)\n\t\ts ^= f%d_7(b, s & 255);" % (n - 1))
        lines += ["\treturn s;", "}", ""]
    lines += ["int all%d(int a)" % n, "{", "\tchar text[64];", "\tint s = 0;", "",
              "\tsnprintf(text, sizeof(text), \"%d\", a);",
              "\tfor (size_t i = 0; i < strlen(text); i++)", "\t\ts += f%d_%d(text[i], a);" % (n, r.below(8)),
              "\treturn s;", "}"]
    return "\n".join(lines) + "\n"


def tree(files=10):
    """{path: text} of a program of that many files, with a Makefile."""
    names = ["part%02d" % n for n in range(files)]
    out = {"tree/part%02d.c" % n: source(n) for n in range(files)}
    out["tree/tree.h"] = "#include <stdio.h>\n" + "".join("int all%d(int a);\nint f%d_7(int a, int b);\n" % (n, n)
                                                          for n in range(files))
    out["tree/main.c"] = ('#include "tree.h"\n\nint main(void)\n{\n' + "".join(
        '\tprintf("%%d\\n", all%d(%d));\n' % (n, 17 * n) for n in range(files)) + "\treturn 0;\n}\n")
    out["tree/Makefile"] = ("OBJECTS = main.o %s\nCFLAGS = -O1 -fwrapv\n\n"
                            "program: $(OBJECTS)\n\t$(CC) -o $@ $(OBJECTS)\n\n"
                            "$(OBJECTS): tree.h\n" % " ".join(n + ".o" for n in names))
    return out


def bank(transactions=800, accounts=400):
    """Transfers between accounts, each a transaction of its own that must survive a crash."""
    r = Sequence(9)
    lines = ["PRAGMA journal_mode = DELETE;", "PRAGMA synchronous = FULL;",
             "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER);",
             "CREATE TABLE move(source INTEGER, target INTEGER, amount INTEGER);",
             "CREATE INDEX move_source ON move(source);",
             "BEGIN;"]
    lines += ["INSERT INTO account VALUES(%d, 1000);" % n for n in range(accounts)] + ["COMMIT;"]
    for n in range(transactions):
        a, b, amount = r.below(accounts), r.below(accounts), 1 + r.below(200)
        lines += ["BEGIN;", "UPDATE account SET balance = balance - %d WHERE id = %d;" % (amount, a),
                  "UPDATE account SET balance = balance + %d WHERE id = %d;" % (amount, b),
                  "INSERT INTO move VALUES(%d, %d, %d);" % (a, b, amount), "COMMIT;"]
        if n % 100 == 99:
            lines.append("SELECT %d, sum(balance), min(balance), max(balance) FROM account;" % n)
    lines.append("SELECT source, sum(amount) FROM move GROUP BY source ORDER BY 2 DESC, 1 LIMIT 10;")
    lines.append("PRAGMA integrity_check;")
    return "\n".join(lines) + "\n"


def write(directory):
    files = {"text": text(), "bank.sql": bank(), **tree()}
    for name, data in files.items():
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
