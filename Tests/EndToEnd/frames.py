"""The engine's own frames, docs/frames.md."""

import json
import socket
import struct

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
