"""A gateway that somebody has taken over: it has the gateway's user and reaches the engine's socket, and says there
whatever it likes. All that it gets is what the tokens say that pass it by."""

import json
import os
import subprocess
import sys
import time

import frames
from running_agent import wait_until

GATEWAY = 65532
ENVELOPE, COMMAND, QUERY, QUESTION, CREDENTIALS, ANSWER, ITEM, END = 1, 2, 3, 4, 5, 16, 17, 18


def as_gateway(agent, kind, payload):
    return frames.ask_as(GATEWAY, agent.engine_socket, kind, payload)


def run_as_gateway(program, *arguments, timeout=120):
    words = ["setpriv", f"--reuid={GATEWAY}", f"--regid={GATEWAY}", "--clear-groups", sys.executable, "-c", program]
    return subprocess.run([*words, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)


def test_it_commands_nothing(agent, host_target):
    session = agent.tenant.inject("cpu-stress", host_target.selector, {"load": 5}, duration="1m").body["id"]
    for command in (
        {"command": "halt"}, {"command": "resume"}, {"command": "list"}, {"command": "revert", "session": session},
        {"command": "show", "session": session}, {"command": "target", "target": host_target.selector},
    ):  # fmt: skip
        status, body = as_gateway(agent, COMMAND, json.dumps(command))
        assert status == 403 and body["code"] == "not-operator", (command, body)
    assert agent.tenant.read(session).body["state"] == "active"


def test_it_uses_a_token_only_for_what_was_signed(agent, host_target):
    session = agent.tenant.inject("cpu-stress", host_target.selector, {"load": 5}, duration="1m").body["id"]
    read = agent.tenant.token("read", session=session)
    for envelope, code in [
        (f"end {session} {read}", "operation-mismatch"),
        (f"renew {session} {read}", "operation-mismatch"),
        (f"inject - {read}", "operation-mismatch"),
        ("read s-0123456789abcdef " + read, "operation-mismatch"),
        (f"end {session} {read[:-4]}AAAA", "signature-invalid"),
        (f"end {session} {'.'.join([read.split('.')[0], read.split('.')[1], ''])}", "token-malformed"),
        # It can say that a token came by TLS, with whatever certificate, and has only more to fail.
        (f"read {session} {read} tls spiffe://nobody", "identity-mismatch"),
    ]:  # fmt: skip
        status, body = as_gateway(agent, ENVELOPE, envelope)
        assert body["code"] == code, (envelope, body)
    # What it was signed for it is good for, once.
    end = agent.tenant.token("end", session=session)
    assert as_gateway(agent, ENVELOPE, f"end {session} {end}")[0] == 200
    assert as_gateway(agent, ENVELOPE, f"end {session} {end}")[1]["code"] == "replayed"


def test_what_is_no_request_is_refused(agent):
    for kind in (QUESTION, ANSWER, ITEM, END):
        status, body = as_gateway(agent, kind, '{"ask":"list"}')
        assert status == 400 and body["code"] == "request-malformed"
    for kind, payload in [
        (QUERY, "tokens"), (QUERY, ""), (COMMAND, "halt"), (ENVELOPE, "inject"), (ENVELOPE, ""),
        (CREDENTIALS, "[]"), (CREDENTIALS, '{"else":1}'),
    ]:  # fmt: skip
        assert as_gateway(agent, kind, payload)[0] in (400, 403), (kind, payload)


# Frames that are whole, cut, too long, of no kind, and bytes that are none; each on a connection of its own.
NONSENSE = """
import json, os, random, socket, struct, sys
path, seed, rounds, seeds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
dice = random.Random(seed)
def mutated(data):
    data = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        choice = dice.randrange(5)
        at = dice.randrange(len(data) + 1)
        if choice == 0 and data: data[at % len(data)] ^= 1 << dice.randrange(8)
        elif choice == 1: data[at:at] = dice.randbytes(dice.randint(1, 40))
        elif choice == 2: del data[at:at + dice.randint(1, 40)]
        elif choice == 3: data[at:at] = data[:dice.randint(0, len(data))]
        else: data += dice.choice([b" ", b"\\\\", b"\\"", b"[" * 600, b"{\\"a\\":" * 300, b"\\0", b"9" * 400, b"\\xff"])
    return bytes(data)
answered = 0
for _ in range(rounds):
    kind, payload = dice.choice(seeds)
    whole = payload.encode()
    while (payload := mutated(whole)) == whole: pass
    kind = kind if dice.random() < 0.9 else dice.randrange(256)
    length = len(payload) + 1 if dice.random() < 0.9 else dice.getrandbits(32)
    data = struct.pack(">IB", length, kind) + payload
    if dice.random() < 0.1: data = data[:dice.randrange(len(data))]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536): answered += 1
        except (BrokenPipeError, ConnectionResetError): pass
print(answered)
"""


def nonsense(agent, seed, rounds, seeds):
    done = run_as_gateway(NONSENSE, agent.engine_socket, seed, rounds, json.dumps(seeds), timeout=600)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    return int(done.stdout)


def test_nonsense_changes_nothing(agent, host_target):
    seed = int(os.environ.get("SQUALL_FUZZ_SEED", time.time()))
    rounds = int(os.environ.get("SQUALL_FUZZ_ROUNDS", 1500))
    print(f"seed {seed}")
    session = agent.tenant.inject("cpu-stress", host_target.selector, {"load": 5}, duration="10m").body["id"]
    engine = agent.role("engine")
    before = {report["id"] for report in agent.tenant.list().body["sessions"]}
    seeds = [
        (ENVELOPE, f"inject - {agent.tenant.token('inject', fault='cpu-stress', target=host_target.selector)}"),
        (ENVELOPE, f"end {session} {agent.tenant.token('read', session=session)}"),
        (ENVELOPE, f"events {session} {agent.tenant.token('end', session=session)} tls spiffe://a/b"),
        (COMMAND, '{"command":"halt","reason":"none"}'),
        (COMMAND, json.dumps({"command": "target", "target": host_target.selector})),
        (QUERY, "node"), (QUESTION, '{"ask":"status"}'), (CREDENTIALS, '{"known":"a","expires":1}'),
    ]  # fmt: skip
    assert nonsense(agent, seed, rounds, seeds) > 0
    assert agent.role("engine") == engine, f"seed {seed}: the engine died\n{agent.log()}"
    assert agent.tenant.read(session).body["state"] == "active"
    assert {report["id"] for report in agent.tenant.list().body["sessions"]} == before
    assert agent.tenant.end(session).body["state"] == "ended"


# As many connections as it gets, each with the beginning of a frame.
HOLD = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
held = []
for _ in range(2000):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(sys.argv[1])
    try: connection.send(b"\\0\\0\\1\\0\\1inject")
    except OSError: continue
    held.append(connection)
print("held", flush=True)
sys.stdin.readline()
"""


def test_it_keeps_no_operator_out_and_no_session_alive(agent, host_target):
    session = agent.tenant.inject("cpu-stress", host_target.selector, {"load": 5}, duration="6s").body["id"]
    words = ["setpriv", f"--reuid={GATEWAY}", f"--regid={GATEWAY}", "--clear-groups", sys.executable, "-c", HOLD]
    holder = subprocess.Popen([*words, agent.engine_socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        ((_, status, listed),) = frames.ask(agent.engine_socket, COMMAND, b'{"command":"list"}')
        assert status == 200 and session in [report["id"] for report in listed["sessions"]]

        def ended():
            ((_, _, report),) = frames.ask(
                agent.engine_socket, COMMAND, json.dumps({"command": "show", "session": session}).encode())
            return report["state"] == "ended"

        wait_until(ended, 15)
        assert not agent.workers(session)
    finally:
        holder.stdin.close()
        holder.wait()
    wait_until(lambda: agent.tenant.call("GET", "/readyz").status == 200, 15)
