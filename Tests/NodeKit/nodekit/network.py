"""What a network namespace holds, as `ip`, `tc` and `nft` tell it."""

import json
import subprocess

# Kinds of tc actions that can outlive the filter that made them.
ACTION_KINDS = ("gact", "mirred", "police", "skbedit", "pedit")


def _run(namespace, *command, input=""):
    done = subprocess.run(["nsenter", f"--net={namespace}", *command], input=input, capture_output=True, text=True)
    return done.stdout


def _documents(text):
    """JSON values one after the other, as a batch prints them."""
    decoder = json.JSONDecoder()
    text = text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:].lstrip()


def _batch(namespace, program, commands):
    """All objects that these commands of `ip` or `tc` list. One process for all: they are slow to start."""
    output = _run(namespace, *program, "-force", "-batch", "-", input="\n".join(commands) + "\n")
    return [item for document in _documents(output) for item in document if item]


def _filters(namespace, qdiscs):
    """Each with the place it hangs at, which tc does not say for the hooks of clsact."""
    for qdisc in qdiscs:
        device, kind, handle = qdisc["dev"], qdisc["kind"], qdisc["handle"]
        if kind == "clsact":
            places = ["ingress", "egress"]
        elif kind == "ingress":
            places = ["ingress"]
        elif handle != "0:":
            places = [f"parent {handle}"]
        else:
            continue  # The kernel's own default takes no filters.
        for place in places:
            for item in _batch(namespace, ["tc", "-j"], [f"filter show dev {device} {place}"]):
                yield f"dev {device} {place}", item


def _without(value, names):
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    if isinstance(value, list):
        return [_without(item, names) for item in value]
    return value


def describe(namespace):
    """(kind, key, value) of everything in the network namespace at this path."""
    devices = _batch(namespace, ["ip", "-j", "-d"], ["address show"])
    for device in devices:
        name = device["ifname"]
        yield "link", f"dev {name}", _without(device, {"addr_info"})
        for address in device.get("addr_info", []):
            key = f"dev {name} {address['local']}/{address['prefixlen']}"
            yield "address", key, _without(address, {"valid_life_time", "preferred_life_time"})
    for family in ("-4", "-6"):
        for item in _batch(namespace, ["ip", "-j", "-d", family], ["route show table all", "rule show"]):
            table = item.get("table", "main")
            if "priority" in item:  # Only rules have one.
                yield "rule", f"{family} {item['priority']} table {table}", item
            else:
                yield "route", f"{item['dst']} dev {item.get('dev')} table {table}", _without(item, {"expires"})

    qdiscs = _batch(namespace, ["tc", "-j", "-d"], ["qdisc show"])
    for qdisc in qdiscs:
        place = "root" if qdisc.get("root") else f"parent {qdisc.get('parent', '-')}"
        yield "qdisc", f"dev {qdisc['dev']} {place}", qdisc
    for name in sorted({qdisc["dev"] for qdisc in qdiscs if qdisc["handle"] != "0:"}):
        for item in _batch(namespace, ["tc", "-j", "-d"], [f"class show dev {name}"]):
            yield "class", f"dev {name} {item['class']} {item['handle']}", item
    for place, item in _filters(namespace, qdiscs):
        handle = item.get("options", {}).get("handle", "")
        yield "filter", f"{place} pref {item.get('pref')} {item.get('protocol')} {item.get('kind')} {handle}", item
    lists = [f"actions list action {kind}" for kind in ACTION_KINDS]
    for group in _batch(namespace, ["tc", "-j"], lists):
        for action in group.get("actions", []):
            yield "action", f"{action.get('kind')} {action.get('index')}", action

    for entry in json.loads(_run(namespace, "nft", "-j", "list", "ruleset") or '{"nftables": []}')["nftables"]:
        for kind, item in entry.items():
            if kind != "metainfo":
                name = item.get("name") or item.get("chain") or ""
                # Handles and counters say when a rule was made and used, not what it does.
                yield "nft", f"{kind} {item['family']} {item.get('table', '')} {name}", _without(
                    item, {"handle", "packets", "bytes"}
                )
