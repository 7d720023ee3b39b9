"""What is said when something is wrong: what it is, which field, what would be right, what to do. Every error path."""

import json
import pathlib
import socket

import pytest
from fakes import SESSION, problem

CONTAINER = "c" * 64
INJECT = ["inject", "cpu-stress", "--container", CONTAINER]
FAULT_HELP = "'squall fault show cpu-stress' explains its parameters"


def error(message, field=None, hint=None):
    lines = [f"squall: error: {message}"]
    lines += [f"  field: {field}"] * bool(field) + [f"  hint: {hint}"] * bool(hint)
    return "".join(line + "\n" for line in lines)


class TestTheRequest:
    @pytest.mark.parametrize("words, message, field, hint", [
        (["inject", "cpu-stres"], 'there is no fault "cpu-stres"', "fault", "did you mean cpu-stress? known: "),
        (["inject", "pu-stre"], 'there is no fault "pu-stre"', "fault", "did you mean cpu-stress? known: "),
        (["inject", "earthquake"], 'there is no fault "earthquake"', "fault", "known: "),
        (["inject", "cpu-stress", "lod=20"], "this fault has no such parameter", "parameters.lod",
         "did you mean load? known: load, base, workers, ramp"),
        (["inject", "cpu-stress", "colour=20"], "this fault has no such parameter", "parameters.colour",
         "known: load, base, workers, ramp"),
        (["inject", "cpu-stress", "load=200"], "load is a percentage, 1 to 100 percent, not 200", "parameters.load",
         FAULT_HELP),
        (["inject", "cpu-stress", "load=much"], 'load is a percentage, 1 to 100 percent, not "much"', "parameters.load",
         FAULT_HELP),
        (["inject", "cpu-stress", "workers=1.5"], 'workers is a whole number, 0 to 1024, not "1.5"',
         "parameters.workers", FAULT_HELP),
        (["inject", "network-latency", "latency=100"],
         'latency is a duration with its unit, as "100ms", 1ms to 1m, not "100"', "parameters.latency",
         "'squall fault show network-latency' explains its parameters"),
        (["inject", "network-latency", "latency=10ms", "jitter=20ms"], "jitter (20ms) is larger than latency (10ms)",
         "parameters.jitter", "no packet can wait less than no time"),
        (["inject", "cpu-stress", "load"], 'a parameter is written NAME=VALUE, not "load"', "parameters", FAULT_HELP),
        (["inject", "cpu-stress", "load=1", "load=2"], "load is given twice", "parameters.load", "leave one out"),
        (["inject", "cpu-stress", "--duration", "3h"], "the duration is 3h", "duration", "100ms to 2h"),
        (["inject", "cpu-stress", "--duration", "1ms"], "the duration is 1ms", "duration", "100ms to 2h"),
        (["inject", "cpu-stress", "--lease", "31s"], "the lease is 31s", "lease",
         "1s at least, and no longer than the duration of 30s"),
        (["inject", "cpu-stress", "--lease", "10ms"], "the lease is 10ms", "lease", "1s at least, "),
    ])
    def test_names_the_field_and_what_would_be_right(self, cli, key, words, message, field, hint):
        result = cli.run(*words, "--container", CONTAINER, *key)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(error(message, field, hint).rstrip("\n"))

    @pytest.mark.parametrize("words, message, field, hint", [
        ([], "exactly one target is to be named", "target", "give --namespace with --pod, or one of --container, --unit, --process, --pid, --cgroup and --host"),
        (["--pid", "4711", "--user", "a"], "a user is a process's", "--user", "give --process with it"),
        (["--process", "a/b"], "a program is named by its file's name, without its folder", "target.process.name", None),
        (["--process", "a", "--user", "b:c"], "a user is a name or a number", "target.process.user", None),
        (["--pid", "4711", "--cgroup", "/x"], "exactly one target is to be named", "target",
         "give --namespace with --pod, or one of --container, --unit, --process, --pid, --cgroup and --host"),
        (["--cgroup", "/x", "--start-time", "5"], "a start time is a process's", "--start-time", "give --pid with it"),
        (["--container", "../x"],
         "a container is named by its identifier, 12 hexadecimal digits at least, or by the name that Docker or Podman knows",
         "target.container", "copy containerID from the pod's status, or a name from docker ps"),
        (["--pid", "1", "--start-time", "5"], "a process number is an integer above 1", "target.process.pid", None),
    ])
    def test_names_what_is_wrong_with_the_target(self, cli, key, words, message, field, hint):
        result = cli.run("inject", "cpu-stress", *words, *key)
        assert (result.returncode, result.stderr) == (2, error(message, field, hint))

    def test_follows_nothing_but_containers(self, cli, key):
        result = cli.run("inject", "cpu-stress", "--cgroup", "/x", "--on-restart", "reinject", *key)
        assert (result.returncode, result.stderr) == (2, error(
            "only a container or a unit is started again", "on-restart",
            "name the target by --pod, --container or --unit, or leave --on-restart out"))

    def test_says_that_there_is_no_such_process_here(self, cli, key):
        result = cli.run("inject", "cpu-stress", "--pid", "99999999", *key)
        assert (result.returncode, result.stderr) == (5, error(
            "there is no process 99999999 here", "target.process.pid",
            "on the node it may have another number: give that, and --start-time with it"))

    @pytest.mark.parametrize("words, said", [
        (["inject", "cpu-stress", "--duration", "30"], "a time is written with its unit, as 500ms, 30s or 1m30s"),
        (["inject", "cpu-stress", "--lease", "0s"], "a time is written with its unit, as 500ms, 30s or 1m30s"),
        (["inject", "cpu-stress", "--durations", "30s"], "Unknown option '--durations'. Did you mean '--duration'?"),
        (["inject", "cpu-stress", "--pid", "me"], "The value 'me' is invalid for '--pid <number>'"),
        (["session", "show", "nonsense"], "a session's name is s- and 16 hexadecimal digits"),
        (["token", "end", "--session", "nonsense"], "a session's name is s- and 16 hexadecimal digits"),
        (["session", "list", "--output", "xml"], "Please provide one of 'table' and 'json'"),
        (["inject"], "Missing expected argument '<fault>'"),
    ])
    def test_says_what_the_command_line_would_take(self, cli, key, words, said):
        result = cli.run(*words, *key)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("squall: error: ") and said in result.stderr
        assert "\n  See 'squall " in result.stderr

    @pytest.mark.parametrize("words, said", [
        (["session", "list", "--output", "json", "--durations", "30s"], "Unknown option '--durations'"),
        (["inject", "--output=json"], "Missing expected argument '<fault>'"),
        (["injct", "--output", "json"], 'there is no command "injct"'),
    ])
    def test_says_so_in_json_when_that_was_asked_for(self, cli, words, said):
        result = cli.run(*words, connect=False)
        assert (result.returncode, result.stdout) == (2, "")
        assert said in json.loads(result.stderr)["detail"]

    @pytest.mark.parametrize("words, message, hint", [
        (["injct"], 'there is no command "injct"', "did you mean squall inject? known: inject, experiment, "),
        (["session", "lst"], 'there is no command "session lst"',
         "did you mean squall session list? known: list, show, watch, revert"),
        (["token", "earthquake"], 'there is no command "token earthquake"', "known: inject, plan, read, renew, end"),
    ])
    def test_says_which_commands_there_are(self, cli, words, message, hint):
        result = cli.run(*words, connect=False)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(error(message, None, hint).rstrip("\n"))


class TestTheKey:
    NOT_PRIVATE = "name the file NAME.key.jwk that squall keygen wrote; NAME.jwks.json is public and cannot sign"

    def refusal(self, cli, path, prefix=()):
        result = cli.run(*INJECT, "--key", path, "--node", "node-1", "--tenant", "shop", prefix=prefix)
        assert (result.returncode, result.stdout) == (2, "")
        return result.stderr

    def test_is_not_there(self, cli):
        assert self.refusal(cli, "shop.key.jwk") == error(
            "cannot use the key in shop.key.jwk: No such file or directory", "--key",
            "make one with: squall keygen --tenant NAME")

    def test_may_not_be_read(self, cli, key, as_nobody):
        if not as_nobody:
            (cli.directory / "shop.key.jwk").chmod(0)
        assert self.refusal(cli, "shop.key.jwk", as_nobody) == error(
            "cannot use the key in shop.key.jwk: Permission denied", "--key",
            "run this as the key's owner, who alone may read it")

    def test_is_a_directory(self, cli):
        assert self.refusal(cli, ".") == error(
            "cannot use the key in .: Is a directory", "--key", "name the file NAME.key.jwk that squall keygen wrote")

    def test_is_the_public_one(self, cli, key):
        assert self.refusal(cli, "shop.jwks.json") == error(
            'cannot use the key in shop.jwks.json: member "kty" is missing', "--key", self.NOT_PRIVATE)

    def test_is_no_json(self, cli):
        (cli.directory / "shop.key.jwk").write_text("secret")
        said = self.refusal(cli, "shop.key.jwk")
        assert said.startswith("squall: error: cannot use the key in shop.key.jwk: not JSON: ")
        assert said.endswith(f"\n  field: --key\n  hint: {self.NOT_PRIVATE}\n")

    def test_is_not_named(self, cli):
        result = cli.run(*INJECT)
        assert result.returncode == 2
        assert "Missing expected argument '--key <file>'" in result.stderr

    def test_does_not_say_whose_it_is(self, cli, gateway, key):
        (cli.directory / "shop.key.jwk").rename(cli.directory / "secret")
        result = cli.run(*INJECT, "--key", "secret")
        assert (result.returncode, result.stderr) == (2, error(
            "whose key is secret?", "--tenant", "give --tenant, or name the file TENANT.key.jwk"))

    def test_is_of_a_tenant_that_cannot_be(self, cli, gateway, key):
        result = cli.run(*INJECT, *key, "--tenant", "Shop!")
        assert (result.returncode, result.stderr) == (2, error(
            '"Shop!" is not the name of a tenant', "--tenant",
            "1 to 63 lower-case letters, digits and inner hyphens"))

    def test_exists_already(self, cli, key):
        result = cli.run("keygen", "--tenant", "shop", connect=False)
        assert (result.returncode, result.stderr) == (2, error(
            "./shop.key.jwk exists", None, "give --force to replace it"))

    def test_cannot_be_written(self, cli):
        result = cli.run("keygen", "--tenant", "shop", "--out", "nowhere", connect=False)
        assert (result.returncode, result.stderr) == (2, error(
            "cannot write: open nowhere/shop.key.jwk: No such file or directory", "--out",
            "name a directory that this user may write to"))


class TestTheAgent:
    def refusal(self, cli, key, code, prefix=()):
        result = cli.run(*INJECT, *key, "--node", "node-1", prefix=prefix)
        assert (result.returncode, result.stdout) == (code, "")
        return result.stderr

    def test_is_not_there(self, cli, key):
        assert self.refusal(cli, key, 4) == error(
            f"cannot reach the agent at {cli.gateway_socket}: No such file or directory", None,
            "is the agent running on this node, and is this the path of its socket? in a container, it must be mounted")

    def test_has_stopped(self, cli, key):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(cli.gateway_socket)
        assert self.refusal(cli, key, 4) == error(
            f"cannot reach the agent at {cli.gateway_socket}: Connection refused", None,
            "the agent that made this socket has stopped: look why, and start it")

    def test_is_not_for_this_user(self, cli, gateway, key, as_nobody):
        pathlib.Path(cli.gateway_socket).chmod(0o600 if as_nobody else 0)
        (cli.directory / "shop.key.jwk").chmod(0o644)
        assert self.refusal(cli, key, 4, as_nobody) == error(
            f"cannot reach the agent at {cli.gateway_socket}: Permission denied", None,
            "the socket is not for this user: root, or the group it was given to")

    def test_closes_without_an_answer(self, cli, gateway, key):
        gateway.answers[f"GET /v1/sessions/{SESSION}"] = lambda: None
        result = cli.run("session", "show", SESSION, *key)
        assert (result.returncode, result.stderr) == (4, error(
            f"the agent at {cli.gateway_socket} closed the connection without an answer", None,
            "the agent is restarting or at its limits: try again"))

    def test_is_something_else(self, cli, key):
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(cli.gateway_socket)
            other.listen()
            process = cli.start("fault", "list")
            connection, _ = other.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            _, said = process.communicate(timeout=30)
        assert process.returncode == 0
        assert f"what came from {cli.gateway_socket} is not an agent's answer: no HTTP/1.1 status line" in said

    def test_does_not_say_its_nodes_name(self, cli, gateway, key):
        gateway.answers["GET /v1/node/name"] = (200, {})
        result = cli.run(*INJECT, *key)
        assert (result.returncode, result.stderr) == (2, error(
            "the agent does not say what its node is called", "--node",
            "give --node, the name that squalld was given"))


class TestTheSession:
    HINT = "'squall session list' shows those that there are; a tenant sees only its own"

    @pytest.mark.parametrize("command, method", [("show", "GET"), ("revert", "DELETE"), ("watch", "GET")])
    def test_is_not_known(self, cli, gateway, key, command, method):
        refusal = problem(404, "session-not-found", "there is no such session on this node")
        gateway.answers[f"{method} /v1/sessions/{SESSION}"] = refusal
        result = cli.run("session", command, SESSION, *key)
        assert (result.returncode, result.stderr) == (5, error(refusal[1]["detail"], None, self.HINT))

    def test_is_not_known_to_the_engine(self, cli, engine):
        engine.answers["show"] = problem(404, "session-not-found", "there is no such session on this node")
        result = cli.run("session", "show", SESSION)
        assert (result.returncode, result.stderr) == (
            5, error("there is no such session on this node", None, self.HINT))

    def test_is_listed_for_nobody_who_is_neither_tenant_nor_operator(self, cli, as_nobody):
        hint = "give --key as tenant; or as operator, run this as root on the node or in the agent's container"
        result = cli.run("session", "list", prefix=as_nobody)
        assert (result.returncode, result.stderr) == (2, error(
            "there is no key, and this is not root, who would be the operator", "--key", hint))
        if as_nobody:
            result = cli.run("session", "list")
            assert (result.returncode, result.stderr) == (2, error(
                f"there is no key, and no engine has its socket at {cli.engine_socket}", "--key", hint))
