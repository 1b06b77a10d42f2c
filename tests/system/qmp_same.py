#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same conversation with two servers of QMP; what the first (QEMU) says is what the second has to say.

usage: qmp_same.py SOCKET-OF-QEMU SOCKET-OF-DISCO
Errors are the same, class and text; of parse errors, which texts are each one's own, the class. What is returned has every member that QEMU's
has, of the same type. Events come with the same names and members, a timestamp, and in the same order. Exit status 1 if anything differs.
"""
import json
import socket
import sys

# behind "#": QEMU can more there (out-of-band), and what Disco says instead
REQUESTS = r'''
{"execute":"query-status"}
{"execute":"no-such","id":1}
{"execute":"qmp_capabilities","arguments":{"enable":3}}
{"execute":"qmp_capabilities","arguments":{"other":3}}
{"execute":"qmp_capabilities","arguments":{"enable":[]},"id":[1,{"a":null}]}
{"execute":"qmp_capabilities","id":"again"}
{"execute":"query-version","id":"\u00e4\ud83d\ude00"}
{"execute":"query-version","arguments":{"x":1}}
{"execute":"query-version","arguments":null}
{"execute":"query-version","id":null}
{"execute":"query-version","id":1.5}
{"execute":"query-version","id":-3}
{"execute":"query-commands"}
{"execute":"query-name"}
{"execute":"query-status"}
{"execute":"query-status","arguments":{}}
{"execute":"query-cpus-fast"}
{"execute":"query-block"}
{"exec-oob":"query-status","id":1}
{"execute":"query-status","control":{}}
{"execute":"no-such"}
{"execute":"a\tb"}
{"execute":"\u00e4"}
{}
{"id":3}
[]
[1,{"execute":"stop"}]
"execute"
{"execute":3}
{"execute":null,"arguments":3}
{"execute":"stop","arguments":3}
{"execute":"stop","arguments":[]}
{"execute":"stop","x":1}
{"execute":"stop","execute":"cont"}
{"execute":"stop"
stop
{"execute":"query-status"}
{"execute":"stop","id":"s"}
{"execute":"stop"}
{"execute":"query-status"}
{"execute":"cont"}
{"execute":"cont"}
{"execute":"query-status"}
{"execute":"system_reset"}
{"execute":"quit","id":99}
'''.strip().split("\n")


class Server:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")
        self.events = []

    def read(self):
        line = self.file.readline()
        assert not line or line.endswith(b"\r\n"), line
        return json.loads(line) if line else None

    def ask(self, text):
        """Its answer; None: it is gone."""
        # an unfinished object is ended by a byte that no JSON has
        self.socket.sendall(text.encode() + (b"]\n" if text.count("{") > text.count("}") else b"\n"))
        while True:
            answer = self.read()
            if answer is None or "event" not in answer:
                return answer
            self.events.append(answer)

    def rest(self):
        """Until it goes."""
        while True:
            try:
                answer = self.read()
            except ConnectionResetError:
                return
            if answer is None:
                return
            self.events.append(answer)


def lacks(want, got, where):
    """The first way in which got has not what want has, or None."""
    if isinstance(want, bool) or isinstance(got, bool) or want is None:
        return None if type(want) is type(got) else f"{where}: {got!r}, not as {want!r}"
    if isinstance(want, (int, float)) and isinstance(got, (int, float)):
        return None
    if type(want) is not type(got):
        return f"{where}: {got!r}, not as {want!r}"
    if isinstance(want, dict):
        for key in want:
            if key not in got:
                return f"{where}: no {key!r} in {got!r}"
            inside = lacks(want[key], got[key], f"{where}.{key}")
            if inside:
                return inside
    if isinstance(want, list) and want and got:
        return lacks(want[0], got[0], f"{where}[0]")
    return None


def compare(text, want, got):
    if want is None or got is None:
        return None if want is got else f"{got!r}, not {want!r}"
    if want.get("id", "none") != got.get("id", "none"):
        return f"id {got.get('id')!r}, not {want.get('id')!r}"
    if "error" not in want:
        return lacks(want, got, "answer")
    if "error" not in got or want["error"]["class"] != got["error"]["class"]:
        return f"{got!r}, not {want!r}"
    say, said = want["error"]["desc"], got["error"]["desc"]
    if say.startswith("JSON parse error"):
        return None if said.startswith("JSON parse error, ") and len(said) > 20 else f"'{said}'"
    return None if say == said else f"'{said}', not '{say}'"


def main():
    qemu, disco = Server(sys.argv[1]), Server(sys.argv[2])
    wrong = []
    problem = lacks(qemu.read(), disco.read(), "greeting")
    if problem:
        wrong.append(problem)
    for text in REQUESTS:
        problem = compare(text, qemu.ask(text), disco.ask(text))
        if problem:
            wrong.append(f"{text}: {problem}")
    qemu.rest()
    disco.rest()
    names = [[e["event"] for e in s.events] for s in (qemu, disco)]
    if names[0] != names[1]:
        wrong.append(f"events {names[1]}, not {names[0]}")
    for want, got in zip(qemu.events, disco.events):
        problem = lacks(want, got, want["event"])
        if problem or want.get("data", {}).get("reason") != got.get("data", {}).get("reason"):
            wrong.append(f"{problem}: {got}, not {want}")
    for line in wrong:
        print(line)
    print(f"{len(REQUESTS)} requests, {len(names[0])} events: {len(wrong)} differ")
    return 1 if wrong else 0


sys.exit(main())
