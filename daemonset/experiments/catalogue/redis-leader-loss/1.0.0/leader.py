"""Asks a Sentinel who leads, and prints it as JSON: pod, address, followers, addresses. What it needs to know is in the
experiment's context."""

import argparse
import json
import os
import socket
import sys
import time


def ask(host, port, *words):
    """One command in Redis's protocol, and what it answers."""
    with socket.create_connection((host, int(port)), timeout=3) as connection:
        connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
        return read(connection.makefile("rb"))


def read(stream):
    kind, rest = (line := stream.readline().decode().rstrip())[:1], line[1:]
    if kind == "$":
        return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode()
    if kind in "*%":
        return None if rest == "-1" else [read(stream) for _ in range(int(rest) * (2 if kind == "%" else 1))]
    if kind == "-" or not kind:
        raise OSError(rest or "the connection was closed")
    return rest


def leader(inputs):
    host, port = inputs["sentinel"].rsplit(":", 1)
    address, port = ask(host, port, "SENTINEL", "get-master-addr-by-name", inputs["leaderSet"])
    # Sentinel's word is not enough: it has to answer, and to lead.
    if ask(address, port, "ROLE")[0] != "master":
        raise OSError(f"{address} does not lead")
    pods = inputs["pods"]
    others = sorted(each for each in pods if each != address)
    return {
        "pod": pods[address], "address": address, "followers": [pods[each] for each in others],
        "addresses": sorted(pods),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", action="store_true", help="print the leader's pod alone")
    parser.add_argument("--not", dest="former", help="wait until it is another one than this")
    parser.add_argument("--within", type=float, default=5, help="how long to wait, in seconds")
    options = parser.parse_args()
    with open(os.environ["SQUALL_CONTEXT"]) as context:
        inputs = json.load(context)["inputs"]
    begun, reason = time.monotonic(), "nobody was asked"
    while time.monotonic() < begun + options.within:
        try:
            found = leader(inputs)
            if found["pod"] != options.former:
                found["after"] = round(time.monotonic() - begun, 1)
                return print(found["pod"] if options.name else json.dumps(found))
            reason = f"{options.former} leads still"
        except (OSError, KeyError, TypeError, ValueError) as error:
            reason = repr(error)
        time.sleep(0.5)
    sys.exit(f"no leader within {options.within:g} s: {reason}")


if __name__ == "__main__":
    main()
