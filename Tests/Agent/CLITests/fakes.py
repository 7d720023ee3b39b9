"""An agent that answers from a script: the gateway's HTTP and the engine's frames, on Unix sockets."""

import base64
import http.server
import json
import socket
import socketserver
import struct
import threading
import time

SESSION = "s-0123456789abcdef"
NODE = {
    "name": "node-1", "version": "0.1.0", "kernel": "6.12.0", "cgroups": "v2",
    "features": [{"name": "traffic-shaping", "works": True}, {"name": "workers", "works": True}],
    "faults": [{"kind": "cpu-stress", "works": True}, {"kind": "network-latency", "works": True}],
    "runtimes": [{"socket": "/run/containerd/containerd.sock", "runtime": "containerd", "version": "2.0"}],
    "capabilities": {"needed": ["cap_net_admin", "cap_kill"], "missing": []},
    "journal": {"path": "/var/lib/squall/journal", "problem": None},
    "tenants": {"problem": None}, "sessions": {"live": 1, "stuck": 0},
}


def report(state="active", ending=None, undo=None, remaining=30.0, session=SESSION):
    """A session's report as the API writes it."""
    step = {"summary": "run a worker", "performed": True}
    if undo:
        step["undo"] = undo
    document = {
        "id": session, "tenant": "shop", "state": state, "fault": "cpu-stress", "parameters": {"load": 50},
        "summary": "burn 50% of a CPU", "openedAt": 1700000000, "duration": "30s", "steps": [step],
        "target": {
            "container": {"id": "c" * 64, "name": "web", "pod": "web-1", "namespace": "shop", "podUID": "u"},
            "cgroup": {"path": "/kubepods/web", "id": "7"},
        },
    }
    if ending:
        document["ending"] = ending
    if state == "active":
        document["remainingSeconds"] = remaining
    if state == "ended":
        document["revertVerified"] = not undo or undo["outcome"] in ("restored", "already-restored", "irreversible")
    return document


def problem(status, code, detail, **more):
    return status, {"type": f"urn:squall:problem:{code}", "status": status, "code": code, "detail": detail, **more}


def event(sequence, kind, message):
    return {"sequence": sequence, "offsetSeconds": sequence / 10, "kind": kind, "message": message}


def claims(token):
    """What a token says. Signatures have tests of their own."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class FakeGateway:
    """`answers` maps "METHOD PATH" to (status, body), to a list of events, or to a function that makes either."""

    def __init__(self, path):
        self.answers = {
            "GET /v1/node": (200, NODE), "GET /v1/node/name": (200, {"name": NODE["name"]}),
            "GET /readyz": (200, {"ready": True, "reasons": []}),
        }
        self.requests = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                self.close_connection = True
                key = f"{self.command} {self.path}"
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                fake.requests.append((key, claims(token) if token else None))
                answer = fake.answers.get(key, problem(404, "not-found", f"nothing scripted for {key}"))
                if callable(answer):
                    answer = answer()
                if answer is None:  # The answer is lost.
                    return
                if isinstance(answer, tuple):
                    self.send_document(*answer)
                else:
                    self.send_events(answer)

            do_GET = do_POST = do_DELETE = answer

            def send_document(self, status, body):
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def send_events(self, events):
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for item in events:
                    if item is None:  # The stream breaks.
                        return
                    if isinstance(item, float):
                        time.sleep(item)
                        continue
                    line = json.dumps(item).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

            def address_string(self):
                return "unix"

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # The client has left amid a stream.

        self.server = Server(path, Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def asked(self, key):
        return [said for asked, said in self.requests if asked == key]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class FakeEngine:
    """`answers` maps a command's name, or a query's, to (status, body) or to a list of items."""

    COMMAND, QUERY, ANSWER, ITEM, END = 2, 3, 16, 17, 18

    def __init__(self, path):
        self.answers = {
            "node": (200, NODE), "name": (200, {"name": NODE["name"]}), "readiness": (200, {"ready": True, "reasons": []}),
        }
        self.commands = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.answer(connection)

    def answer(self, connection):
        stream = connection.makefile("rwb")
        (length,) = struct.unpack(">I", stream.read(4))
        kind = stream.read(1)[0]
        payload = stream.read(length - 1)
        if kind == self.COMMAND:
            command = json.loads(payload)
            self.commands.append(command)
            answer = self.answers[command["command"]]
        else:
            answer = self.answers[payload.decode()]
        if isinstance(answer, tuple):
            status, body = answer
            self.send(stream, self.ANSWER, struct.pack(">H", status) + json.dumps(body).encode())
        else:
            for item in answer:
                self.send(stream, self.ITEM, json.dumps(item).encode())
            self.send(stream, self.END, b"")

    @staticmethod
    def send(stream, kind, payload):
        stream.write(struct.pack(">IB", len(payload) + 1, kind) + payload)
        stream.flush()

    def close(self):
        self.listener.close()
