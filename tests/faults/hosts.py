"""Hosts as network namespaces of this machine, and the links between them.

It needs root. A filter that lets through no packet is the cut: nobody is told,
as when a switch dies.
"""

import contextlib
import os
import pathlib
import subprocess

from faults import report

NOTHING = ("rate", "8kbit", "burst", "10", "limit", "10")
NARROW = ("rate", "2mbit", "burst", "8kb", "latency", "200ms")


def _name(host):
  return f"codistill-{os.getpid()}-{host}"


def do(*words):
  """Runs a command; one that fails says why nothing can be tried here."""
  try:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
  except FileNotFoundError as error:
    raise report.Skipped(f"{error.filename} is not there") from None
  if done.returncode:
    raise report.Skipped(f"{' '.join(words)}: {done.stderr.strip()}")


def inside(host):
  """Returns the words before a command that runs on a host.

  It sees the mounts of all, unlike one of `ip netns exec`.
  """
  return ("nsenter", f"--net=/run/netns/{_name(host)}")


@contextlib.contextmanager
def linked(links):
  """Makes hosts, and links between two of them; gone in the end.

  Args:
    links: pairs of hosts, and the network of each, as "10.251.77": the first
      one has the address that ends in 1 there, the second in 2.
  """
  if os.getuid():
    raise report.Skipped("only root may make network namespaces")
  with contextlib.ExitStack() as made:
    for host in sorted({host for pair in links for host in pair}):
      do("ip", "netns", "add", _name(host))
      made.callback(do, "ip", "netns", "del", _name(host))
      do("ip", "-n", _name(host), "link", "set", "lo", "up")
    for (one, other), network in links.items():
      ends = ("dev", other, "type", "veth", "peer", "name", one)
      do("ip", "-n", _name(one), "link", "add", *ends, "netns", _name(other))
      for number, (host, device) in enumerate([(one, other), (other, one)], 1):
        address = (f"{network}.{number}/24", "dev", device)
        do("ip", "-n", _name(host), "addr", "add", *address)
        do("ip", "-n", _name(host), "link", "set", device, "up")
    yield


def send_through(host, to, *what):
  """Has a host send to another through a filter; without one, freely again."""
  device = ("dev", to, "root")
  words = ("add", *device, "tbf", *what) if what else ("del", *device)
  do("tc", "-n", _name(host), "qdisc", *words)


def give_up_early(host):
  """Has a host's connections fail after seconds without an answer.

  Others try for about 15 minutes, which a program sees as a wait.
  """
  net = pathlib.Path("/proc/sys/net/ipv4")
  for setting, tries in (("tcp_retries2", 5), ("tcp_syn_retries", 1)):
    do(*inside(host), "sh", "-c", f"echo {tries} > {net / setting}")
