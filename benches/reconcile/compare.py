"""Runs Switchyard and DuckDB in turns on the same two files, and checks what both found.

Processor time (of both threads) is printed beside the time that passed: on a machine with other work
it is the steadier one.
"""

import collections
import csv
import os
import statistics
import subprocess
import sys
import time

program, folder, layout, rounds, nice = sys.argv[1:]
here = os.path.dirname(os.path.abspath(__file__))
at = lambda name: os.path.join(folder, name)
statement, records = at("statement.csv"), at("records.csv")
size = os.path.getsize(statement) + os.path.getsize(records)
with open(records, "rb") as file:
    rows = sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b"")) - 1


def ours(memory):
    return [program, "reconcile", "--layout", layout, "--statement", statement, "--records",
            records, "--differences", at("ours.csv"), "--date", "2026-11-20", "--memory", memory,
            "--temporary", folder, "--json"]


duck = [sys.executable, os.path.join(here, "duck.py"), statement, records, at("duck.csv"), "2", "0"]
runs = {"switchyard": (ours("1024"), at("ours.csv"), (0, 2)),
        "switchyard, 64 MiB": (ours("64"), at("ours.csv"), (0, 2)),
        "duckdb": (duck, at("duck.csv"), (0,))}


def planted():
    with open(at("planted.csv"), newline="") as file:
        return collections.Counter((row["class"], row["reference"]) for row in csv.DictReader(file))


def found(path):
    with open(path, newline="") as file:
        return collections.Counter((row["class"], row["reference"] or row["our_reference"])
                                   for row in csv.DictReader(file))


wanted = planted()
# A record of a later date is shifted when it matches; nothing else here has one.
seconds, peak = collections.defaultdict(list), collections.defaultdict(int)
work = collections.defaultdict(list)
for _ in range(int(rounds)):
    for name, (command, out, good) in runs.items():
        begun = time.monotonic()
        child = subprocess.Popen([*nice.split(), *command], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds[name].append(time.monotonic() - begun)
        work[name].append(usage.ru_utime + usage.ru_stime)
        peak[name] = max(peak[name], usage.ru_maxrss // 1024)
        if os.waitstatus_to_exitcode(status) not in good:
            sys.exit(f"{name} failed")
        if (got := found(out)) != wanted:
            sys.exit(f"{name}: missed {list((wanted - got).items())[:3]}, "
                     f"made up {list((got - wanted).items())[:3]}")

median = {name: statistics.median(times) for name, times in seconds.items()}
print(f"{rows:,} rows a side, {size / 1e9:.2f} GB, {sum(wanted.values()):,} planted differences, "
      f"all found by all; median of {rounds}")
for name, times in seconds.items():
    shown = " ".join(f"{one:.2f}" for one in times)
    cpu = statistics.median(work[name])
    print(f"  {name:20} {median[name]:6.2f} s  cpu {cpu:6.2f} s  {2 * rows / median[name] / 1e6:5.2f} M rows/s  "
          f"{peak[name]:6} MiB  x{median['duckdb'] / median[name]:.2f}   ({shown})")
