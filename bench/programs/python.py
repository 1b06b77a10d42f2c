# SPDX-License-Identifier: MIT
"""bench/vs-qemu's Python program: no module but the interpreter itself, no output that depends on hashes' seeds."""


class Particle:
    def __init__(self, x, v):
        self.x, self.v = x, v

    def step(self, dt):
        self.v -= self.x * dt
        self.x += self.v * dt


def particles():
    all_of_them = [Particle(i / 10.0, 1.0 - i / 50.0) for i in range(50)]
    for _ in range(4000):
        for p in all_of_them:
            p.step(0.01)
    return "%.9f" % sum(p.x * p.x + p.v * p.v for p in all_of_them)


def words():
    seed, counts = 12345, {}
    for _ in range(300000):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        word = "w%x" % (seed >> 20)
        counts[word] = counts.get(word, 0) + 1
    top = sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))[:5]
    return " ".join("%s:%d" % kv for kv in top)


def sieve(n):
    flags = bytearray([1]) * (n + 1)
    flags[0:2] = b"\0\0"
    for i in range(2, int(n ** 0.5) + 1):
        if flags[i]:
            flags[i * i::i] = bytes(len(range(i * i, n + 1, i)))
    return sum(flags)


def queens(n, row=0, columns=0, left=0, right=0):
    if row == n:
        return 1
    found, free = 0, ~(columns | left | right) & ((1 << n) - 1)
    while free:
        bit = free & -free
        free ^= bit
        found += queens(n, row + 1, columns | bit, (left | bit) << 1, (right | bit) >> 1)
    return found


def digits_of_pi(n):
    """Gibbons' spigot: big integers."""
    q, r, t, k, m, x, out = 1, 0, 1, 1, 3, 3, []
    while len(out) < n:
        if 4 * q + r - t < m * t:
            out.append(str(m))
            q, r, m = 10 * q, 10 * (r - m * t), (10 * (3 * q + r)) // t - 10 * m
        else:
            q, r, t, k, m, x = q * k, (2 * q + r) * x, t * x, k + 1, (q * (7 * k + 2) + r * x) // (t * x), x + 2
    return "".join(out)


print("particles", particles())
print("words", words())
print("primes", sieve(1500000))
print("queens", queens(9))
print("pi", digits_of_pi(1200))
