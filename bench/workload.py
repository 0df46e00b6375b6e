"""A workload: a file of bench/workloads or, with {n} in it, of bench/curves."""

import configparser
import os
import subprocess
import sys

import peers
import traffic

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.path.join(HERE, "..", os.environ.get("BUILD", "build")))
CACHE = os.path.join(BUILD, "bench")


def say(text):
    print(text, flush=True)


def tsc_mhz():
    with open("/proc/cpuinfo") as info:
        return float(next(line for line in info if line.startswith("cpu MHz")).split(":")[1])


def build_shim():
    path = os.path.join(CACHE, "replay.so")
    source = os.path.join(HERE, "replay.c")
    if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(source):
        os.makedirs(CACHE, exist_ok=True)
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-fPIC", "-shared", "-o", path, source],
                       check=True)
    return path


def cached_trace(words):
    """A capture, made once."""
    path = os.path.join(CACHE, "-".join(words).replace("=", "") + ".pcap")
    stamp = os.path.getmtime(traffic.__file__)
    if not os.path.exists(path) or os.path.getmtime(path) < stamp:
        os.makedirs(CACHE, exist_ok=True)
        traffic.make_trace(path + ".new", words[0], words[1:])
        for end in ("", ".back"):
            if os.path.exists(path + ".new" + end):
                os.replace(path + ".new" + end, path + end)
        os.utime(path)
    return path


class Settings:
    """The keys of one file. `n` stands for {n} in them."""

    def __init__(self, folder, section, name):
        directory = os.path.join(HERE, folder)
        parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
        parser.optionxform = str
        if not parser.read(os.path.join(directory, name + ".conf")):
            known = sorted(file[:-5] for file in os.listdir(directory) if file.endswith(".conf"))
            sys.exit("no %s '%s'; there are: %s" % (section, name, " ".join(known)))
        self.name, self.values, self.n = name, parser[section], ""
        self.title, self.about = self.get("title"), self.get("about")

    def get(self, key, default=None):
        value = self.values.get(key, default)
        return value and value.replace("{n}", str(self.n))

    def make_rules(self, directory):
        """The files of flows and, or None, groups."""
        rules, groups = os.path.join(directory, "flows"), None
        with open(rules, "w") as out:
            out.write(self.get("flows", "").strip() + "\n")
            source = self.get("flows-from")
            if source:
                words = source.split()
                out.writelines(line + "\n" for line in traffic.make_rules(words[0], words[1:]))
        if self.get("group"):
            words = self.get("buckets-from").split()
            groups = os.path.join(directory, "groups")
            with open(groups, "w") as out:
                out.write(",".join([self.get("group"), *traffic.make_rules(words[0], words[1:])]))
                out.write("\n")
        return rules, groups


class Workload(Settings):
    def __init__(self, name, patience):
        super().__init__("workloads", "workload", name)
        self.quick = self.get("quick", "no") == "yes"
        self.warm = float(self.get("warm", "2")) * patience
        self.vhost = self.get("vhost")  # bytes of a frame, where guests are on both sides

    def make_traffic(self, shim, mhz):
        if self.vhost:
            return peers.Traffic([], 4096, "loop", None, shim, mhz)
        words = self.get("traffic").split()
        path = cached_trace(words)
        captures = [path] + ([path + ".back"] if os.path.exists(path + ".back") else [])
        attack = self.get("attack")
        if attack:
            attack = (cached_trace(attack.split()), self.get("attack-rate"))
        mode = {"unique": "unique"}.get(self.get("replay"), "loop")
        packets = int(traffic.options_of(words[1:]).get("packets", 4096))
        if self.get("replay") == "yes":
            packets = 1 << 30
        return peers.Traffic(captures, packets, mode, attack, shim, mhz)
