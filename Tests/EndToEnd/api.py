"""A tenant as any user writes one: an ordinary JWT library, an ordinary HTTP client, no code of Squall's."""

import base64
import contextlib
import http.client
import json
import socket
import time
import uuid
from pathlib import Path

import jwt
import openapi
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("squall", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"Answer({self.status}, {json.dumps(self.body)})"

    @property
    def code(self):
        return self.body.get("code")


class Tenant:
    """A key pair, and requests signed with it."""

    def __init__(self, name, node, socket_path, algorithm="EdDSA"):
        self.name, self.node, self.socket_path, self.algorithm = name, node, socket_path, algorithm
        self.key_id = f"{name}-{uuid.uuid4().hex[:8]}"
        if algorithm == "EdDSA":
            self.key = ed25519.Ed25519PrivateKey.generate()
            public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(public)}
        else:
            self.key = ec.generate_private_key(ec.SECP256R1())
            public = self.key.public_key().public_numbers()
            x, y = (base64url(number.to_bytes(32, "big")) for number in (public.x, public.y))
            self.jwk = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        self.jwk["kid"] = self.key_id

    @property
    def private_jwk(self):
        """With the half that nobody else knows, of an EdDSA key."""
        private = self.key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return self.jwk | {"d": base64url(private)}

    def publish(self, directory):
        path = Path(directory) / f"{self.name}.jwks.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({"keys": [self.jwk]}))
        fresh.rename(path)

    def claims(self, operation, **more):
        now = int(time.time())
        return {
            "iss": self.name,
            "aud": self.node,
            "iat": now,
            "exp": now + 30,
            "jti": uuid.uuid4().hex,
            "op": operation,
        } | more

    def token(self, operation, **more):
        return self.sign(self.claims(operation, **more))

    def sign(self, claims, **headers):
        return jwt.encode(claims, self.key, algorithm=self.algorithm, headers={"kid": self.key_id} | headers)

    def connection(self):
        return UnixConnection(self.socket_path)

    def call(self, method, path, token=None, body=None, headers=None):
        connection = self.connection()
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        kind = response.headers.get_content_type()
        if kind == "application/x-ndjson":
            parsed = [json.loads(line) for line in text.splitlines()]
        elif kind == "application/openmetrics-text":
            parsed = text.decode()
        else:
            parsed = json.loads(text) if text else None
        openapi.check(method, path, response.status, kind, parsed)
        if token and response.status < 300:
            openapi.check_claims(jwt.decode(token, options={"verify_signature": False}))
        return Answer(response.status, response.headers, parsed)

    def inject(self, fault, target, parameters=None, duration="10s", **more):
        token = self.token(
            "inject", fault=fault, target=target, parameters=parameters or {}, duration=duration, **more
        )
        return self.call("POST", "/v1/sessions", token)

    def begin(self, fault, target, parameters=None, duration="10s", **more):
        """Injects, and returns the session's name. Tries again when the container runtime of a busy node does not answer
        in time, as the API says."""
        for _ in range(3):
            answer = self.inject(fault, target, parameters, duration, **more)
            if answer.code != "runtime-unavailable":
                break
            print(f"tried again: {answer}")
            time.sleep(int(answer.headers["Retry-After"]))
        assert answer.status == 201, answer
        return answer.body["id"]

    def plan(self, fault, target, parameters=None, duration="10s", **more):
        token = self.token("plan", fault=fault, target=target, parameters=parameters or {}, duration=duration, **more)
        return self.call("POST", "/v1/plans", token)

    def read(self, session):
        return self.call("GET", self.path(session), self.token("read", **self.scope(session)))

    @staticmethod
    def scope(name):
        """The claim that names a session or a group."""
        return {"group" if name.startswith("g-") else "session": name}

    @classmethod
    def path(cls, name):
        (kind,) = cls.scope(name)
        return f"/v1/{kind}s/{name}"

    def list(self):
        return self.call("GET", "/v1/sessions", self.token("read"))

    def events(self, session):
        """All events; returns when the session is over."""
        return self.call("GET", f"/v1/sessions/{session}/events", self.token("read", session=session)).body

    @contextlib.contextmanager
    def stream(self, session):
        """Events as they happen."""
        connection = UnixConnection(self.socket_path)
        token = self.token("read", session=session)
        connection.request("GET", f"/v1/sessions/{session}/events", headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        assert response.status == 200
        try:
            yield (json.loads(line) for line in response)
        finally:
            connection.close()

    def renew(self, session):
        return self.call("POST", f"{self.path(session)}/lease", self.token("renew", **self.scope(session)))

    def end(self, session):
        return self.call("DELETE", self.path(session), self.token("end", **self.scope(session)))

    def wait_until(self, session, state, timeout=20):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            report = self.read(session).body
            if report["state"] == state:
                return report
            time.sleep(0.1)
        raise TimeoutError(f"session {session} is not {state}: {report}")

    def wait_until_ended(self, session, timeout=20):
        return self.wait_until(session, "ended", timeout)
