"""What network namespaces hold, as `ip`, `tc` and `nft` tell it."""

import ctypes
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

# Kinds of tc actions that can outlive the filter that made them.
ACTION_KINDS = ("gact", "mirred", "police", "skbedit", "pedit")
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def describe(namespaces):
    """For each of the network namespaces at these paths, a list of (kind, key, value) of everything in it."""
    # Programs are slow to start in an emulated machine: each thread enters the namespaces itself, and starts few.
    with ThreadPoolExecutor(max_workers=3) as pool:
        return list(pool.map(_describe, namespaces))


def _describe(namespace):
    with open(namespace) as file:
        if _libc.setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    return list(_everything())


def _run(*command, input=""):
    return subprocess.run(command, input=input, capture_output=True, text=True).stdout


def _documents(text):
    """JSON values one after the other, as a batch prints them."""
    decoder = json.JSONDecoder()
    text = text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:].lstrip()


def _batch(program, *commands):
    """All objects that these commands of `ip` or `tc` list."""
    output = _run(*program, "-json", "-details", "-force", "-batch", "-", input="\n".join(commands) + "\n")
    return [item for document in _documents(output) for item in document if item]


def _places(qdiscs):
    """Where filters may hang, as tc calls it; it does not say so for the hooks of clsact."""
    for qdisc in qdiscs:
        device, kind, handle = qdisc["dev"], qdisc["kind"], qdisc["handle"]
        if kind in ("clsact", "ingress"):
            yield f"dev {device} ingress"
        if kind == "clsact":
            yield f"dev {device} egress"
        elif kind != "ingress" and handle != "0:":  # The kernel's own default takes no filters.
            yield f"dev {device} parent {handle}"


def _without(value, names):
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    if isinstance(value, list):
        return [_without(item, names) for item in value]
    return value


def _everything():
    rules = []
    for item in _batch(["ip"], "address show", "route show table all", "rule show"):
        if "ifname" in item:
            name = item["ifname"]
            yield "link", f"dev {name}", _without(item, {"addr_info"})
            for address in item.get("addr_info", []):
                key = f"dev {name} {address['local']}/{address['prefixlen']}"
                yield "address", key, _without(address, {"valid_life_time", "preferred_life_time"})
        elif "priority" in item:  # Of routes and rules, only rules have one.
            rules.append(("-4", item))
        else:
            key = f"{item['dst']} dev {item.get('dev')} table {item.get('table', 'main')}"
            yield "route", key, _without(item, {"expires"})
    rules += [("-6", item) for item in _batch(["ip", "-6"], "rule show")]
    for family, item in rules:
        yield "rule", f"{family} {item['priority']} table {item.get('table', 'main')}", item

    found = _batch(["tc"], "qdisc show", *(f"actions list action {kind}" for kind in ACTION_KINDS))
    for action in (action for group in found for action in group.get("actions", [])):
        yield "action", f"{action.get('kind')} {action.get('index')}", action
    qdiscs = [item for item in found if "handle" in item]
    for qdisc in qdiscs:
        place = "root" if qdisc.get("root") else f"parent {qdisc.get('parent', '-')}"
        yield "qdisc", f"dev {qdisc['dev']} {place}", qdisc
    for name in sorted({qdisc["dev"] for qdisc in qdiscs if qdisc["handle"] != "0:"}):
        for item in _batch(["tc"], f"class show dev {name}"):
            yield "class", f"dev {name} {item['class']} {item['handle']}", item
    for place in _places(qdiscs):
        for item in _batch(["tc"], f"filter show {place}"):
            handle = item.get("options", {}).get("handle", "")
            yield "filter", f"{place} pref {item.get('pref')} {item.get('protocol')} {item.get('kind')} {handle}", item

    for entry in json.loads(_run("nft", "-j", "list", "ruleset") or '{"nftables": []}')["nftables"]:
        for kind, item in entry.items():
            if kind != "metainfo":
                name = item.get("name") or item.get("chain") or ""
                # Handles and counters say when a rule was made and used, not what it does.
                yield "nft", f"{kind} {item['family']} {item.get('table', '')} {name}", _without(
                    item, {"handle", "packets", "bytes"}
                )
