#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The host's end of the network tests: servers on 127.0.0.1, which a guest may reach as 10.0.2.2, and a client.

net_host.py serve MIB       three ports, printed in one line: a source (HTTP, MIB mebibytes), a sink that answers with the
                            SHA-256 of what it got until the end of file, and an echo (one line, then the end)
net_host.py sum MIB         the SHA-256 of what the source sends
net_host.py connect ADDRESS PORT    "open", or "refused"
net_host.py fetch PORT N    N connections to 127.0.0.1:PORT one after another, each HTTP; SHA-256 of the last body
"""
import hashlib
import random
import socket
import sys
import threading
import urllib.request

BLOCK = random.Random(1).randbytes(1 << 20)


def listen(handler):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(64)

    def loop():
        while True:
            c, _ = s.accept()
            threading.Thread(target=one, args=(c,), daemon=True).start()

    def one(c):
        with c:
            try:
                handler(c)
            except ConnectionError:
                pass  # the guest did not want all of it

    threading.Thread(target=loop, daemon=True).start()
    return s.getsockname()[1]


def source(mib):
    def handler(c):
        c.recv(65536)
        c.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % (mib << 20))
        for _ in range(mib):
            c.sendall(BLOCK)
        c.shutdown(socket.SHUT_WR)
        c.recv(1)

    return handler


def sink(c):
    h = hashlib.sha256()
    while data := c.recv(1 << 20):
        h.update(data)
    c.sendall(h.hexdigest().encode() + b"\n")


def echo(c):
    c.sendall(c.makefile("rb").readline())


def main():
    what = sys.argv[1]
    if what == "connect":
        try:
            socket.create_connection((sys.argv[2], int(sys.argv[3])), timeout=20).close()
            print("open")
        except ConnectionRefusedError:
            print("refused")
        return
    n = int(sys.argv[2])
    if what == "serve":
        print(listen(source(n)), listen(sink), listen(echo), flush=True)
        sys.stdin.read()
    elif what == "sum":
        h = hashlib.sha256()
        for _ in range(n):
            h.update(BLOCK)
        print(h.hexdigest())
    elif what == "fetch":
        for _ in range(int(sys.argv[3])):
            h = hashlib.sha256()
            with urllib.request.urlopen(f"http://127.0.0.1:{n}/f", timeout=100) as r:
                while data := r.read(1 << 20):
                    h.update(data)
        print(h.hexdigest())


main()
