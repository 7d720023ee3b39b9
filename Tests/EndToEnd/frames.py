"""The engine's own frames, docs/frames.md.

As a program, `python3 frames.py SOCKET KIND PAYLOAD` prints the status and body of the answer, or `PermissionError`.
"""

import json
import socket
import struct
import subprocess
import sys

ANSWER = 16


def ask(path, kind, payload):
    """One request, all replies: (kind, status or None, body)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        connection.sendall(struct.pack(">IB", len(payload) + 1, kind) + payload)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    replies = []
    while received:
        length, kind = struct.unpack(">IB", received[:5])
        payload, received = received[5 : 4 + length], received[4 + length :]
        if kind == ANSWER:
            replies.append((kind, struct.unpack(">H", payload[:2])[0], json.loads(payload[2:])))
        else:
            replies.append((kind, None, json.loads(payload) if payload else None))
    return replies


def ask_as(user, path, kind, payload):
    """The same as another user: what the answer was, or the name of the error. Not by a fork of this process, nor by
    what subprocess does to change the user: gRPC, which the node's tests use, does not survive a fork."""
    words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    words += [sys.executable, __file__, str(path), str(kind), payload]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    try:
        ((_, status, body),) = ask(sys.argv[1], int(sys.argv[2]), sys.argv[3].encode())
        print(json.dumps([status, body]))
    except PermissionError:
        print(json.dumps("PermissionError"))
