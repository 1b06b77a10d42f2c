# SPDX-License-Identifier: MIT
"""A guest image: NAME.img, NAME.vmlinuz, NAME.initrd and their manifest NAME.json in one directory.

The manifest says what the files were when they were made. What they are now is found by looking: state().
"""
import hashlib
import json
import os
import re
import subprocess

FORMAT = "disco-guest-1"
# ext4 labels have at most 16 bytes; the name is the host name as well.
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?")
PARTS = ("vmlinuz", "initrd", "img")

BUILT, USED, DIRTY, DAMAGED, INCOMPLETE = "as built", "used", "used, journal to replay", "damaged", "incomplete"


class Failed(Exception):
    """One line for the user."""


def check_name(name):
    if not NAME.fullmatch(name):
        raise Failed("'%s' is no name: 1 to 16 of a-z, 0-9 and -, which is neither first nor last" % name)
    return name


def parse_size(text):
    """Bytes of "2G", "512M"; a multiple of 1 MiB."""
    m = re.fullmatch(r"([0-9]{1,7})([MG])", text)
    size = int(m[1]) << {"M": 20, "G": 30}[m[2]] if m else 0
    if not (16 << 20) <= size <= (1 << 40):
        raise Failed("--size %s: a number with M or G, from 16M to 1024G" % text)
    return size


def human(size):
    for shift, unit in ((30, "G"), (20, "M"), (10, "K")):
        if size >= 1 << shift:
            return ("%.1f" % (size / (1 << shift))).removesuffix(".0") + unit
    return "%d" % size


def sha256(path, progress=None):
    """Of the whole file, as sha256sum says it; holes are not read."""
    h = hashlib.sha256()
    zeros = bytes(1 << 20)
    with open(path, "rb", buffering=0) as f:
        end = os.fstat(f.fileno()).st_size
        at = 0
        while at < end:
            try:
                data = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: a hole up to the end
                data = end
            while at < data:
                n = min(data - at, len(zeros))
                h.update(memoryview(zeros)[:n])
                at += n
            if at == end:
                break
            os.lseek(f.fileno(), at, os.SEEK_SET)
            chunk = f.read(min(1 << 20, end - at))
            if not chunk:  # somebody truncates it at this moment
                break
            h.update(chunk)
            at += len(chunk)
            if progress:
                progress(at, end)
    return h.hexdigest()


def stamp(path):
    """Changes whenever a file's bytes may have: nobody but the clock sets a ctime."""
    s = os.stat(path)
    return [s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns]


def describe(path, progress=None):
    return {"size": os.path.getsize(path), "sha256": sha256(path, progress), "stamp": stamp(path)}


def manifest_path(directory, name):
    return os.path.join(directory, name + ".json")


def read_manifest(path):
    """The manifest in PATH, or None if the file is something else."""
    try:
        with open(path, encoding="utf-8") as f:
            m = json.load(f)
        good = m["format"] == FORMAT and NAME.fullmatch(m["name"]) and m["name"] + ".json" == os.path.basename(path)
        for part in PARTS:
            e = m["files"]["%s.%s" % (m["name"], part)]
            good = good and isinstance(e["size"], int) and isinstance(e["sha256"], str) and isinstance(e["stamp"], list)
        good = good and isinstance(m["packages"], dict) and all(isinstance(m[k], str) for k in ("made", "suite"))
        return m if good else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def manifests(directory):
    try:
        names = sorted(n for n in os.listdir(directory) if n.endswith(".json"))
    except OSError as e:
        raise Failed("%s: %s" % (directory, e.strerror)) from None
    found = (read_manifest(os.path.join(directory, n)) for n in names)
    return [m for m in found if m]


def superblock(path):
    """(file system's bytes, journal to replay) of an ext4 image, or None. Linux: fs/ext4/ext4.h, ext4_super_block."""
    with open(path, "rb") as f:
        f.seek(1024)
        sb = f.read(1024)

    def le(at, size):
        return int.from_bytes(sb[at:at + size], "little")
    if len(sb) < 1024 or le(0x38, 2) != 0xEF53 or le(0x18, 4) > 6:
        return None
    blocks = le(4, 4) | (le(0x150, 4) << 32 if le(0x60, 4) & 0x80 else 0)
    return blocks << (10 + le(0x18, 4)), bool(le(0x60, 4) & 0x4)


def fsck(path):
    """None if e2fsck finds nothing in a file system that it only reads; else its first complaint."""
    env = dict(os.environ, LC_ALL="C", PATH=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
    p = subprocess.run(["e2fsck", "-fn", path], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       errors="replace", check=False, env=env)
    if p.returncode == 0:
        return None
    lines = [line for line in (p.stdout + p.stderr).splitlines() if line and not re.match(r"e2fsck \d|Pass \d", line)]
    return "e2fsck: %s" % (lines[0] if lines else "status %d" % p.returncode)


def state_of_changed_image(path, size):
    now = os.path.getsize(path)
    if now < size:
        return DAMAGED, "%d bytes, not %d" % (now, size)
    sb = superblock(path)
    if not sb:
        return DAMAGED, "no ext4 file system"
    if sb[0] > now:
        return DAMAGED, "file system larger than the file"
    if sb[1]:  # e2fsck without writing cannot judge what the journal still has
        return DIRTY, ""
    complaint = fsck(path)
    return (DAMAGED, complaint) if complaint else (USED, "")


def unchanged(path, entry, whole):
    if not whole and stamp(path) == entry["stamp"]:
        return True
    return os.path.getsize(path) == entry["size"] and sha256(path) == entry["sha256"]


def state(directory, m, whole=False):
    """(state, why). Files that have not been touched since they were made are not read, unless whole."""
    for part in PARTS:  # the image last: a guest may change it, and nothing else
        name = "%s.%s" % (m["name"], part)
        path, entry = os.path.join(directory, name), m["files"][name]
        try:
            if unchanged(path, entry, whole):
                continue
            if part == "img":
                return state_of_changed_image(path, entry["size"])
        except FileNotFoundError:
            return INCOMPLETE, "no %s" % name
        except OSError as e:
            return DAMAGED, "%s: %s" % (name, e.strerror)
        return DAMAGED, "%s is not what was built" % name
    return BUILT, ""


def cache_dir():
    """Where downloads are kept: guest/cache in a source tree, the user's cache where Disco is installed."""
    if os.environ.get("DISCO_GUEST_CACHE"):
        return os.path.abspath(os.environ["DISCO_GUEST_CACHE"])
    here = os.path.dirname(os.path.abspath(__file__))
    if os.access(here, os.W_OK) and os.path.exists(os.path.join(here, "..", "CMakeLists.txt")):
        return os.path.join(here, "cache")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "disco", "guest")
