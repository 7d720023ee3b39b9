"""The engine's own frames, docs/frames.md.

As a program, `python3 frames.py SOCKET KIND PAYLOAD [KIND PAYLOAD...]` prints the status and body of the answer, or `PermissionError`.
"""

import json
import socket
import struct
import subprocess
import sys

ANSWER = 16
END = 18


def ask(path, kind, payload):
    """One request, all replies: (kind, status or None, body)."""
    return ask_all(path, [(kind, payload)])


def ask_all(path, requests):
    """All requests at once on one connection, without waiting, and all replies up to the last one's answer."""
    replies = []
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        connection.sendall(b"".join(struct.pack(">IB", len(payload) + 1, kind) + payload for kind, payload in requests))
        left = len(requests)
        stream = connection.makefile("rb")
        # To the gateway's user the engine does not hang up.
        while head := stream.read(5):
            length, kind = struct.unpack(">IB", head)
            reply = stream.read(length - 1)
            if kind == ANSWER:
                replies.append((kind, struct.unpack(">H", reply[:2])[0], json.loads(reply[2:])))
            else:
                replies.append((kind, None, json.loads(reply) if reply else None))
            left -= kind in (ANSWER, END)
            if left == 0:
                break
    return replies


def ask_as(user, path, *requests):
    """KIND, PAYLOAD, KIND, PAYLOAD ... as another user: what the answer was (of several: a list), or the name of the error. Not by a fork of this process, nor by
    what subprocess does to change the user: gRPC, which the node's tests use, does not survive a fork."""
    words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    words += [sys.executable, __file__, str(path), *map(str, requests)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    try:
        requests = [(int(kind), payload.encode()) for kind, payload in zip(sys.argv[2::2], sys.argv[3::2])]
        answers = [[status, body] for _, status, body in ask_all(sys.argv[1], requests)]
        print(json.dumps(answers[0] if len(requests) == 1 else answers))
    except PermissionError:
        print(json.dumps("PermissionError"))
