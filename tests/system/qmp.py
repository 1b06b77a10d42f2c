#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A client of the control socket, with nothing of Disco's own: as any client of QMP.

usage: qmp.py SOCKET STEP...
STEP is COMMAND or COMMAND:MACHINE (its answer is printed, a line of JSON), event:NAME (waited for and printed), or sleep:SECONDS.
Exit status: 0; 1 if an event does not come within a minute, or the monitor is gone before all steps are done.
"""
import json
import socket
import sys
import time


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.file = self.socket.makefile("r")
        self.events = []
        greeting = self.read()
        assert greeting["QMP"]["version"]["qemu"].keys() >= {"major", "minor", "micro"}, greeting
        assert isinstance(greeting["QMP"]["capabilities"], list), greeting
        assert self.execute("query-status")["error"]["class"] == "CommandNotFound"
        assert self.execute("qmp_capabilities") == {"return": {}}

    def read(self):
        line = self.file.readline()
        if not line:
            raise EOFError
        return json.loads(line)

    def execute(self, command, machine=None):
        request = {"execute": command, "id": [command, 1]}
        if machine:
            request["arguments"] = {"machine": machine}
        self.socket.sendall(json.dumps(request).encode())
        while True:
            answer = self.read()
            if "event" in answer:
                self.events.append(answer)
                continue
            assert answer.pop("id") == [command, 1], answer
            return answer

    def wait(self, name):
        while not any(e["event"] == name for e in self.events):
            self.events.append(self.read())
        event = next(e for e in self.events if e["event"] == name)
        self.events.remove(event)
        assert event["timestamp"].keys() == {"seconds", "microseconds"}
        return event


def main():
    client = Client(sys.argv[1])
    for step in sys.argv[2:]:
        what, _, arg = step.partition(":")
        if what == "event":
            event = client.wait(arg)
            print(json.dumps({"event": event["event"], "data": event["data"]}))
        elif what == "sleep":
            time.sleep(float(arg))
        else:
            print(json.dumps(client.execute(what, arg or None)))
        sys.stdout.flush()


try:
    main()
except (EOFError, ConnectionError, TimeoutError, socket.timeout) as e:
    print(f"qmp.py: the monitor is gone, or silent: {e!r}", file=sys.stderr)
    sys.exit(1)
