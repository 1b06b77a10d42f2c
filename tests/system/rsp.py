#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A client of gdb's remote protocol, which knows nothing of gdb, of Disco or of QEMU.

usage: rsp.py trace ADDRESS ELF SYMBOL N     N single steps from there on, a line of registers for each
       rsp.py back ADDRESS ELF SYMBOL N TIMES   from where it is called the TIMES-th time: N steps, all of them back, and forth again
       rsp.py talk ADDRESS ELF STEP...       see steps below; prints what comes
       rsp.py hostile ADDRESS SEED N         N damaged packets in connections that begin and end anywhere
ADDRESS is HOST:PORT, or a Unix socket's path.
"""
import random
import socket
import struct
import sys
import time


def symbols(path):
    """Names and addresses of an ELF32 file."""
    with open(path, "rb") as f:
        data = f.read()
    order = "<" if data[5] == 1 else ">"
    shoff, = struct.unpack_from(order + "I", data, 32)
    size, count = struct.unpack_from(order + "HH", data, 46)
    sections = [struct.unpack_from(order + "10I", data, shoff + i * size) for i in range(count)]
    found = {}
    for s in sections:
        if s[1] != 2:
            continue
        text = sections[s[6]][4]
        for at in range(s[4], s[4] + s[5], 16):
            name, value = struct.unpack_from(order + "II", data, at)
            end = data.index(b"\0", text + name)
            found[data[text + name:end].decode()] = value
    return found, order


class Gone(Exception):
    pass


class Rsp:
    def __init__(self, address, features="multiprocess+;swbreak+;hwbreak+"):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port))) if port.isdigit() else socket.socket(socket.AF_UNIX)
        if not port.isdigit():
            self.socket.connect(address)
        else:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(60)
        self.acks = True
        self.seen = b""
        if features is not None:
            self.features = self.ask("qSupported:" + features)
            if "QStartNoAckMode+" in self.features:
                assert self.ask("QStartNoAckMode") == "OK"
                self.acks = False

    def byte(self):
        if not self.seen:
            self.seen = self.socket.recv(65536)
            if not self.seen:
                raise Gone
        b, self.seen = self.seen[:1], self.seen[1:]
        return b

    def read(self):
        while self.byte() != b"$":
            pass
        data = b""
        while True:
            b = self.byte()
            if b == b"#":
                break
            data += bytes([self.byte()[0] ^ 0x20]) if b == b"}" else b
        self.byte()
        self.byte()
        if self.acks:
            self.socket.sendall(b"+")
        return data.decode("latin-1")

    def write(self, text):
        data = text.encode("latin-1")
        self.socket.sendall(b"$%s#%02x" % (data, sum(data) & 255))

    def ask(self, text):
        self.write(text)
        return self.read()

    def resume(self, text):
        """A stop reply."""
        return self.ask(text)


def registers(text, order, n=38):
    """The first n, which all stubs for MIPS have alike."""
    return struct.unpack(f"{order}{n}I", bytes.fromhex(text[:8 * n]))


def value(v, order):
    return struct.pack(order + "I", v).hex()


def is_branch(word):
    opcode = word >> 26
    if opcode == 0:
        return word & 63 in (8, 9)
    if opcode == 1:
        return word >> 16 & 31 in (0, 1, 2, 3, 16, 17, 18, 19)
    return opcode in (2, 3, 4, 5, 6, 7, 20, 21, 22, 23) or (opcode == 17 and word >> 21 & 31 == 8)


def step(gdb):
    stop = gdb.resume("vCont;s:p1.1")
    assert stop.startswith("T05"), stop


def trace(address, elf, symbol, n):
    names, order = symbols(elf)
    gdb = Rsp(address)
    gdb.ask("?")
    assert gdb.ask(f"Z0,{names[symbol]:x},4") == "OK"
    stop = gdb.resume("vCont;c")
    assert stop.startswith("T05"), stop
    assert gdb.ask(f"z0,{names[symbol]:x},4") == "OK"
    # what is left over of what booted it
    all_of_them = gdb.ask("g")
    for r in [*range(1, 28), 30, 33, 34]:
        all_of_them = all_of_them[:8 * r] + value(400 if r == 4 else 0x1000 + r, order) + all_of_them[8 * r + 8:]
    assert gdb.ask("G" + all_of_them) == "OK"
    inside = 0  # stops between a branch and its slot, as QEMU makes them
    for _ in range(n):
        r = registers(gdb.ask("g"), order)
        branch, = struct.unpack(order + "I", bytes.fromhex(gdb.ask(f"m{r[37]:x},4")))
        # not Status and Cause, whose bits of devices differ
        print(" ".join(f"{r[i]:08x}" for i in [37, *range(1, 32), 33, 34]))
        step(gdb)
        if is_branch(branch) and registers(gdb.ask("g"), order)[37] == r[37] + 4:
            inside += 1
            step(gdb)
    print(inside, file=sys.stderr)
    gdb.write("vKill;1")


def back(address, elf, symbol, n, times):
    """All registers, and a word below the stack pointer, after each step: the same on the way back, and forth again."""
    names, order = symbols(elf)
    gdb = Rsp(address)
    assert "ReverseStep+" in gdb.features and "ReverseContinue+" in gdb.features, gdb.features
    gdb.ask("?")

    def look():
        text = gdb.ask("g")
        return text, gdb.ask(f"m{registers(text, order)[29]:x},20")

    assert gdb.ask(f"Z0,{names[symbol]:x},4") == "OK"
    for i in range(times):
        if i:
            step(gdb)
        assert gdb.resume("vCont;c").startswith("T05")
    assert gdb.ask(f"z0,{names[symbol]:x},4") == "OK"
    seen = [look()]
    for _ in range(n):
        step(gdb)
        seen.append(look())
    wrong = 0
    for i in range(n - 1, -1, -1):
        assert gdb.resume("bs").startswith("T05")
        wrong += look() != seen[i]
    for i in range(1, n + 1):
        step(gdb)
        wrong += look() != seen[i]
    # from the end to the same call, and to those before it
    assert gdb.ask(f"Z0,{names[symbol]:x},4") == "OK"
    calls = 0
    while "replaylog:begin" not in gdb.resume("bc"):
        calls += 1
        if calls == 1:
            wrong += look() != seen[0]
    addresses = {registers(text, order)[37] for text, _ in seen}
    print(f"{n} steps at {len(addresses)} addresses: {wrong} others; {calls} calls")
    gdb.write("D;1")
    return wrong == 0 and calls == times


def talk(address, elf, steps):
    """A step: break:SYMBOL, delete:SYMBOL, go, step, interrupt, pc:SYMBOL (must be there), write:SYMBOL=N, read:SYMBOL, raw:PACKET."""
    names, order = symbols(elf)
    gdb = Rsp(address)
    for step in steps:
        what, _, arg = step.partition(":")
        if what == "break":
            print(step, gdb.ask(f"Z0,{names[arg]:x},4"))
        elif what == "delete":
            print(step, gdb.ask(f"z0,{names[arg]:x},4"))
        elif what == "go":
            print(step, gdb.resume("vCont;c")[:3])
        elif what == "start":
            gdb.write("vCont;c")
        elif what == "step":
            print(step, gdb.resume("vCont;s:p1.1")[:3])
        elif what == "interrupt":
            gdb.socket.sendall(b"\x03")
            print(step, gdb.read()[:3])
        elif what == "pc":
            pc = registers(gdb.ask("g"), order)[37]
            print(step, "ok" if pc == names[arg] else f"{pc:08x}")
        elif what == "write":
            name, _, number = arg.partition("=")
            print(step, gdb.ask(f"M{names[name]:x},4:{value(int(number), order)}"))
        elif what == "read":
            print(step, struct.unpack(order + "I", bytes.fromhex(gdb.ask(f"m{names[arg]:x},4")))[0])
        elif what == "sleep":
            time.sleep(float(arg))
        else:
            print(step, gdb.ask(arg))
        sys.stdout.flush()


HONEST = ["?", "g", "m80100000,40", "M80100000,4:00112233", "X80100000,0:", "Z0,80100000,4", "z0,80100000,4", "Z2,80100000,4",
          "vCont?", "vCont;s:p1.1", "Hgp1.1", "Hc-1", "T1", "qC", "qfThreadInfo", "qsThreadInfo", "qThreadExtraInfo,p1.1",
          "qXfer:features:read:target.xml:0,fff", "qOffsets", "qRcmd,696e666f20746c62", "qSupported:multiprocess+", "p25", "P4=00000000",
          "G00", "vAttach;1", "qAttached:1", "s", "?", "qRcmd,68656c70", "x", "Z0,80100000,4;X1,0", "vCont;r80100000,80100010:p1.1"]


def damage(rng, text):
    data = bytearray(text.encode())
    for _ in range(rng.randrange(4)):
        kind = rng.randrange(5)
        at = rng.randrange(len(data) + 1)
        if kind == 0:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(8)))
        elif kind == 1 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 2:
            del data[at:at + rng.randrange(6)]
        elif kind == 3:
            data[at:at] = b"f" * rng.choice([1, 8, 16, 17, 400, 20000])
        else:
            data[at:at] = rng.choice([b",", b":", b";", b"-1", b"ffffffff", b"p", b".", b"=", b"}", b"*"])
    return bytes(data)


def frame(rng, data):
    whole = b"$" + data + b"#%02x" % (sum(data) & 255)
    kind = rng.randrange(20)
    if kind == 0:
        return whole[:rng.randrange(len(whole))]
    if kind == 1:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(60)))
    if kind == 2:
        return whole[:-1] + b"z"
    return whole + rng.choice([b"", b"+", b"-", b"+++", b"\x03" if kind == 3 else b""])


def hostile(address, seed, n):
    """The other end may refuse, close, or say anything; it must be there afterwards."""
    rng = random.Random(seed)
    sent = 0
    while sent < n:
        try:
            gdb = Rsp(address, features=None)
        except (ConnectionError, FileNotFoundError) as e:
            print(f"after {sent}: {e}")
            sys.exit(1)
        gdb.socket.settimeout(0.2)
        try:
            for _ in range(rng.randrange(1, 400)):
                gdb.socket.sendall(frame(rng, damage(rng, rng.choice(HONEST))))
                sent += 1
                if rng.randrange(4) == 0:
                    gdb.socket.setblocking(False)
                    try:
                        gdb.socket.recv(65536)
                    except BlockingIOError:
                        pass
                    gdb.socket.settimeout(0.2)
        except (OSError, Gone):
            pass
        gdb.socket.close()
    # an honest one is served
    for _ in range(100):
        try:
            gdb = Rsp(address)
            assert gdb.ask("?").startswith("T"), "no stop"
            gdb.ask("D;1")
            print(f"{sent} packets")
            return
        except (OSError, Gone):
            time.sleep(0.1)
    print("an honest debugger gets no answer")
    sys.exit(1)


if sys.argv[1] == "trace":
    trace(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
elif sys.argv[1] == "back":
    sys.exit(not back(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6])))
elif sys.argv[1] == "talk":
    talk(sys.argv[2], sys.argv[3], sys.argv[4:])
else:
    hostile(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
