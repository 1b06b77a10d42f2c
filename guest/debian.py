# SPDX-License-Identifier: MIT
"""Debian packages for guest/build: an apt of our own, and mmdebstrap with the packages that it fetched.

apt reads the host's sources, keys and proxies, and keeps its lists and archives below the cache; the host's are not
touched. It checks all signatures. mmdebstrap then works without the network: it gets those lists and archives, and apt
inside it compares the archives with the lists once more.
"""
import ctypes
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess

from image import Failed

ARCH = "mipsel"
BINFMT = "/proc/sys/fs/binfmt_misc"
BINFMT_RULE = "/usr/lib/binfmt.d/qemu-mipsel.conf"
# Besides Essential: yes, which apt finds by itself: what mmdebstrap --variant=apt adds.
BASE = ["apt"]

CONF = """APT::Architecture "mipsel";
#clear APT::Architectures;
APT::Architectures {{ "mipsel"; }};
APT::Install-Recommends "false";
APT::Get::AllowUnauthenticated "false";
APT::Sandbox::User "root";
APT::Keep-Downloaded-Packages "true";
Binary::apt-get::APT::Keep-Downloaded-Packages "true";
#clear APT::Update;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
Acquire::AllowInsecureRepositories "false";
Acquire::Languages "none";
Acquire::GzipIndexes "false";
Acquire::Retries "3";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Dir::State "{dir}/state";
Dir::State::status "{dir}/state/status";
Dir::State::lists "{dir}/state/lists";
Dir::State::extended_states "{dir}/state/extended_states";
Dir::Cache "{dir}/cache";
Dir::Cache::archives "{dir}/cache/archives";
Dir::Log "{dir}";
"""
PINNED = 'Dir::Etc::preferences "{dir}/preferences";\nDir::Etc::preferencesparts "/dev/null";\n'


def die_with_parent():
    """In the child: no process of a build outlives it, even one that was killed. Linux: prctl(2), PR_SET_PDEATHSIG."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL if os.geteuid() == 0 else signal.SIGTERM, 0, 0, 0)


def spawn(command, log, fds=(), **more):
    """A child whose output is in our hands or in the log, and which has the lock's descriptor."""
    log.write("$ %s\n" % " ".join(command))
    log.flush()
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, preexec_fn=die_with_parent, pass_fds=fds,
                                **more)
    except FileNotFoundError:
        raise Failed("no %s on this host" % command[0]) from None


def call(command, log, fds=(), env=None):
    """True if it succeeds; all it says is in the log."""
    return spawn(command, log, fds, stdout=log, env=env).wait() == 0


class Apt:
    def __init__(self, directory, suite, log, fds):
        self.dir, self.suite, self.log, self.fds = directory, suite, log, fds
        self.suites = [suite, suite + "-updates", suite + "-security"]
        self.archives = os.path.join(directory, "cache", "archives")
        self.lists = os.path.join(directory, "state", "lists")
        self.conf = os.path.join(directory, "apt.conf")
        self.sources = os.path.join(directory, "sources.list")
        for d in (self.archives, self.lists):
            os.makedirs(os.path.join(d, "partial"), exist_ok=True)
        open(os.path.join(directory, "state", "status"), "w").close()
        if not os.path.exists(self.conf):
            self.write_conf("")

    def write_conf(self, more):
        with open(self.conf, "w") as f:
            f.write(CONF.format(dir=self.dir) + more)

    def env(self):
        return dict(os.environ, APT_CONFIG=self.conf, LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive")

    def output(self, command):
        p = spawn(command, self.log, self.fds, stdout=subprocess.PIPE, env=self.env(), text=True)
        out = p.communicate()[0]
        return out if p.returncode == 0 else ""

    def update(self):
        """Read the lists of the host's sources, and note which of them have this suite.

        A source that has no mipsel, or does not answer, is no reason to stop: what matters is a plan.
        """
        self.write_conf(PINNED.format(dir=self.dir))
        with open(os.path.join(self.dir, "preferences"), "w") as f:
            for s in self.suites:
                f.write("Package: *\nPin: release o=Debian, n=%s\nPin-Priority: 500\n\n" % s)
            f.write("Package: *\nPin: release a=*\nPin-Priority: -1\n")
        call(["apt-get", "update"], self.log, self.fds, self.env())
        lines = []
        form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
        for line in self.output(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]).splitlines():
            uri, release, component = (line.split() + ["", ""])[:3]
            if release.rstrip("/") in self.suites and component == "main":
                lines.append("deb %s %s main\n" % (uri, release))
        if not any(" %s main" % self.suite in line for line in lines):
            raise Failed("none of this host's apt sources has main of Debian's %s for %s (a source with [arch=...] or "
                         "Architectures: is limited to those)" % (self.suite, ARCH))
        with open(self.sources, "w") as f:
            f.write("".join(dict.fromkeys(lines)))

    def plan(self, packages):
        """{archive file: (name, version, bytes)} of all that will be installed."""
        empty = os.path.join(self.dir, "none")  # apt does not name what is in its archives already
        os.makedirs(os.path.join(empty, "partial"), exist_ok=True)
        out = self.output(["apt-get", "--yes", "--print-uris", "-o", "Dir::Cache::archives=" + empty, "install",
                           "?essential", *BASE, *packages])
        plan = {}
        for line in out.splitlines():  # 'URI' FILE BYTES SHA256:...
            m = re.fullmatch(r"'[^']+' (([^_ ]+)_([^_ ]+)_[a-z0-9]+\.deb) ([0-9]+) \S+", line)
            if m:
                plan[m[1]] = (m[2], m[3].replace("%3a", ":"), int(m[4]))
        return plan

    def missing(self, plan):
        return [f for f in plan if not os.path.exists(os.path.join(self.archives, f))
                or os.path.getsize(os.path.join(self.archives, f)) != plan[f][2]]

    def download(self, packages, progress):
        """apt continues what an earlier run began. progress(percent)"""
        r, w = os.pipe()
        p = spawn(["apt-get", "--yes", "--download-only", "-o", "APT::Status-Fd=%d" % w, "install", "?essential", *BASE,
                   *packages], self.log, (*self.fds, w), stdout=self.log, env=self.env())
        os.close(w)
        with os.fdopen(r, errors="replace") as f:
            for line in f:
                m = re.match(r"dlstatus:[^:]*:([0-9.]+):", line)
                if m:
                    progress(float(m[1]))
        return p.wait() == 0


def can_run_mipsel(log):
    return call(["arch-test", ARCH], log)


# What a build runs, and the Debian package that has it. Those of a bare Debian (cp, sh, tar) are not asked for.
TOOLS = {"apt-get": "apt", "arch-test": "arch-test", "clang-19": "clang-19", "dpkg-deb": "dpkg", "e2fsck": "e2fsprogs",
         "ld.lld-19": "lld-19", "mke2fs": "e2fsprogs", "mmdebstrap": "mmdebstrap"}
TOOLS_ROOT = {"unshare": "util-linux"}
TOOLS_USER = {"fakeroot": "fakeroot", "newuidmap": "uidmap"}


def check_tools():
    """Before anything is downloaded: all that is missing, and what to install."""
    path = os.environ.get("PATH", os.defpath) + ":/sbin:/usr/sbin"
    tools = TOOLS | (TOOLS_ROOT if os.geteuid() == 0 else TOOLS_USER)
    missing = {t: p for t, p in tools.items() if not shutil.which(t, path=path)}
    if not os.path.exists(BINFMT_RULE):
        missing["qemu-mipsel-static"] = "qemu-user-static"
    if missing:
        raise Failed("no %s on this host: apt-get install %s" % (", ".join(missing), " ".join(sorted(set(missing.values())))))


def setup_binfmt(log):
    """Let the kernel run mipsel programs by qemu-user. Registers the package's rule itself where it may."""
    if can_run_mipsel(log):
        return
    steps = ["mount -t binfmt_misc binfmt_misc " + BINFMT, "cat %s >%s/register" % (BINFMT_RULE, BINFMT)]
    if os.geteuid() == 0:
        if not os.path.exists(BINFMT + "/register"):
            call(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], log)
        try:
            with open(BINFMT_RULE, "rb") as rule, open(BINFMT + "/register", "wb", buffering=0) as f:
                f.write(rule.read())
        except OSError as e:
            log.write("%s/register: %s\n" % (BINFMT, e.strerror))
        if can_run_mipsel(log):
            return
    raise Failed("this host does not run mipsel programs yet; once per boot, as root:\n  " + "\n  ".join(steps))


def check_user():
    """mmdebstrap needs root, or what makes a user root to its own files: newuidmap (TOOLS_USER) and a range of ids."""
    if os.geteuid() == 0:
        return
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
        with open("/etc/subuid", encoding="utf-8") as f:
            ranges = any(line.split(":")[0] in (user, str(os.geteuid())) for line in f)
    except (OSError, KeyError):
        ranges = False
    if not ranges:
        raise Failed("needs root (sudo disco guest build ...), or a range for this user in /etc/subuid and /etc/subgid")


def unmount_below(directory):
    """What a killed mmdebstrap left mounted there: removing the tree must not go through /dev or /proc."""
    with open("/proc/self/mounts") as f:
        points = [line.split()[1].replace("\\040", " ") for line in f]
    for point in sorted((p for p in points if p.startswith(directory + "/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False, stderr=subprocess.DEVNULL)
    with open("/proc/self/mounts") as f:
        if any(line.split()[1].startswith(directory + "/") for line in f):
            raise Failed("something is still mounted below %s" % directory)


def remove_tree(directory):
    if os.path.isdir(directory):
        unmount_below(os.path.realpath(directory))
        shutil.rmtree(directory)


def mmdebstrap(apt, plan, packages, customize, out, temporary, progress):
    """Install the packages of the plan; OUT is the tree as a tar file. progress(done, of, what)"""
    mode = "root" if os.geteuid() == 0 else "auto"
    hook = " ".join("'%s'" % a.replace("'", "'\\''") for a in customize)
    lists = [f for f in glob.glob(os.path.join(apt.lists, "*")) if os.path.isfile(f) and os.path.basename(f) != "lock"]
    command = ["mmdebstrap", "--mode=" + mode, "--architectures=" + ARCH, "--variant=apt", "--format=tar", "--verbose",
               "--skip=update,check/signed-by,essential/unlink", "--dpkgopt=force-unsafe-io",
               "--aptopt=Acquire::Languages \"none\"", "--include=" + ",".join(packages),
               "--setup-hook=mkdir -p \"$1/var/lib/apt/lists/partial\" \"$1/var/cache/apt/archives/partial\"",
               "--setup-hook=copy-in %s /var/lib/apt/lists/" % " ".join("'%s'" % f for f in lists),
               "--setup-hook=copy-in %s /var/cache/apt/archives/" % " ".join(
                   "'%s'" % os.path.join(apt.archives, f) for f in plan),
               "--customize-hook=%s" % hook.replace("'@ROOT@'", '"$1"'), apt.suite, out, apt.sources]
    if mode == "root":  # its mounts and all its processes end with it, even if it is killed
        command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
                   *command]
    os.makedirs(temporary, exist_ok=True)
    env = dict(os.environ, TMPDIR=temporary, LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive")
    env.pop("APT_CONFIG", None)
    apt.log.write("$ %s\n" % " ".join(command))
    apt.log.flush()
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         errors="replace", env=env, preexec_fn=die_with_parent, pass_fds=apt.fds)
    seen = set()
    for line in p.stdout:
        apt.log.write(line)
        m = re.match(r"(Unpacking|Setting up) (\S+)", line)
        if m and (m[1], m[2]) not in seen:
            seen.add((m[1], m[2]))
            progress(len(seen), 2 * len(plan), "%s %s" % (m[1].lower(), m[2].removesuffix(":" + ARCH)))
    apt.log.flush()
    return p.wait() == 0
