import CRI
import ChaosModel
import ContainerRuntimes
import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Testing

private let id = "0ca993e45fcc87f38bab93b7a55d8ad3d3303a716b1b796a7768f5d9abf17f93"

private let otherID = String(repeating: "2d", count: 32)

/// As Docker 26 and Podman 5 write it, but for most of what they say.
private func inspection(
    of id: String = id, name: String = "/shop-db", state: String = #""Status":"running","Running":true,"Pid":771"#,
    labels: String = "{}"
) -> FakeDocker.Answer {
    .json(
        #"""
        {"Id":"\#(id)","Created":"2026-11-23T23:27:33.679639483Z","Path":"/bin/busybox","Args":["sleep","1000"],\#
        "State":{\#(state),"Paused":false,"Restarting":false,"OOMKilled":false,"Dead":false,"ExitCode":0,"Error":""},\#
        "Image":"sha256:8ef70e19ea82","Name":"\#(name)","RestartCount":0,"HostConfig":{"Memory":0,"CpuQuota":0,\#
        "Ulimits":[{"Name":"nofile","Hard":18446744073709551615}]},"Config":{"Hostname":"0ca993e45fcc","Labels":\#(labels)}}
        """#)
}

private let listing = #"""
    [{"Id":"\#(id)","Names":["/other/db","/shop-db"],"Image":"local/busybox","Created":1795476453,"Labels":{},\#
    "State":"running","HostConfig":{"NetworkMode":"bridge"}},\#
    {"Id":"1d","Names":["/k8s_app_web-0_shop_u_0"],"Labels":{"io.kubernetes.pod.namespace":"shop"}},\#
    {"Id":"\#(otherID)","Names":["/shop-web"],"Labels":null},{"Id":"2d","Names":["/shop-short"],"Labels":null}]
    """#

private func withDocker(
    patience: TimeAmount = .seconds(10), _ answer: @escaping @Sendable (String) -> FakeDocker.Answer,
    _ body: (FakeDocker, RuntimeDirectory) async throws -> Void
) async throws {
    let folder = "/tmp/squall-docker-\(UInt64.random(in: .min ... .max))"
    mkdir(folder, 0o700)
    defer { rmdir(folder) }
    let docker = try await FakeDocker(at: folder + "/docker.sock", answer)
    try await body(docker, directory(of: [docker], patience: patience))
    try await docker.stop()
}

private func directory(of daemons: [FakeDocker], patience: TimeAmount = .seconds(10)) -> RuntimeDirectory {
    RuntimeDirectory(
        RuntimePlace.all(named: daemons.map { "docker:\($0.path)" }), on: MultiThreadedEventLoopGroup.singleton.any(),
        patience: patience
    ) { _ in }
}

struct DockerSocketTests {
    private static let container = RuntimeContainer(
        id: id, name: "shop-db", processID: 771, cgroupsPath: nil, createdAt: nil, sandbox: nil)
    private let name: ContainerName

    init() throws {
        name = try #require(ContainerName("shop-db"))
    }

    @Test func `a container is found by its identifier, the beginning of it, and its name`() async throws {
        try await withDocker({ _ in inspection() }) { docker, runtimes in
            for question in [.container(id), .container("0ca993e45fcc"), .named(name)] as [RuntimeQuestion] {
                #expect(await runtimes.answer(question) == .container(Self.container))
            }
            let asked = [id, "0ca993e45fcc", "shop-db"].map { "GET /containers/\($0)/json" }
            #expect(docker.requests == asked)
        }
    }

    @Test func `a name is not taken for an identifier, nor an identifier for a name`() async throws {
        try await withDocker({ _ in inspection(name: "/4f6b1c2d3e4f") }) { docker, runtimes in
            #expect(await runtimes.answer(.container("4f6b1c2d3e4f")) == .failure(.notFound))
            #expect(await runtimes.answer(.named(name)) == .failure(.notFound))
            // Not even asked for.
            #expect(await runtimes.answer(.container("containers-of-mine")) == .failure(.notFound))
            #expect(docker.requests.count == 2)
        }
    }

    @Test func `a pod's container is CRI's to tell of`() async throws {
        let labels = #"{"io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"u"}"#
        try await withDocker({ _ in inspection(labels: labels) }) { docker, runtimes in
            #expect(await runtimes.answer(.container(id)) == .failure(.notFound))
            #expect(await runtimes.answer(.named(name)) == .failure(.notFound))
            #expect(await runtimes.answer(.stop(id, graceSeconds: 0)) == .failure(.notFound))
            #expect(docker.requests.allSatisfy { $0.hasPrefix("GET ") })
        }
    }

    @Test(arguments: [
        #""Status":"exited","Running":false,"Pid":0"#, #""Status":"restarting","Running":true,"Pid":0"#,
    ])
    func `a container without a process is not running`(state: String) async throws {
        try await withDocker({ _ in inspection(state: state) }) { _, runtimes in
            #expect(await runtimes.answer(.named(name)) == .failure(.notRunning(.exited)))
        }
    }

    @Test func `an unknown container is not found`() async throws {
        try await withDocker({ _ in .json(#"{"message":"No such container: shop-db"}"#, status: 404) }) { _, runtimes in
            #expect(await runtimes.answer(.named(name)) == .failure(.notFound))
        }
    }

    @Test(
        arguments: [
            (.json(#"{"message":"server error"}"#, status: 500), "status 500: server error"),
            (.json("<html>", status: 400), "status 400: "), (.json("[]"), nil), (.json(#"{"Id":"1"}"#), nil),
            (.long(17 << 20), "more than 16777216 bytes"), (.raw("SSH-2.0-OpenSSH\r\n\r\n"), nil),
        ] as [(FakeDocker.Answer, String?)])
    func `what makes no sense is refused`(answer: FakeDocker.Answer, expected: String?) async throws {
        try await withDocker({ _ in answer }) { _, runtimes in
            guard case .failure(.refused(let reason)) = await runtimes.answer(.named(name)) else {
                Issue.record("not refused")
                return
            }
            #expect(expected == nil || reason == expected)
        }
    }

    @Test(arguments: ["0ca993e45fcc", "", String(repeating: "0CA9", count: 16), id + "0"])
    func `what is no whole identifier is no container of Docker's`(told: String) async throws {
        try await withDocker({ _ in inspection(of: told) }) { _, runtimes in
            let refused = RuntimeAnswer.failure(.refused(reason: "\"\(told)\" is no identifier of a container"))
            #expect(await runtimes.answer(.named(name)) == refused)
            #expect(await runtimes.answer(.container("0ca993e45fcc")) == refused)
        }
    }

    @Test func `only root, or the own user, is believed at its socket`() {
        for (user, asking, isTrusted) in [
            (0, 65533, true), (1000, 0, false), (1000, 1000, true), (65534, 0, false),
        ] as [(UInt32, UInt32, Bool)] {
            #expect(DockerListener(user: user).isTrusted(by: asking) == isTrusted)
        }
    }

    @Test func `its containers are listed as those of no pod`() async throws {
        try await withDocker({ _ in .json(listing) }) { docker, runtimes in
            let expected = RuntimePod(
                uid: "", containers: [.init(id: id, name: "shop-db"), .init(id: otherID, name: "shop-web")])
            #expect(await runtimes.answer(.list) == .list([expected]))
            #expect(docker.requests == ["GET /containers/json"])
            #expect(await runtimes.answer(.find(PodSelector(namespace: "shop", name: "web-0"))) == .list([]))
            #expect(docker.requests.count == 1, "it has no pods")
        }
    }

    @Test(arguments: [("Engine", "docker"), ("Podman Engine", "podman")])
    func `which of them it is, is told`(component: String, runtime: String) async throws {
        let version =
            #"{"Platform":{"Name":""},"Components":[{"Name":"\#(component)","Version":"5.4.2"}],"Version":"5.4.2"}"#
        try await withDocker({ _ in .json(version) }) { docker, runtimes in
            let availability = RuntimeStatus.Availability.available(runtime: runtime, version: "5.4.2")
            #expect(
                await runtimes.answer(.status)
                    == .status([RuntimeStatus(socket: docker.path, availability: availability)]))
        }
    }

    @Test func `a daemon that hangs is unreachable at the deadline, and left`() async throws {
        try await withDocker(patience: .seconds(1), { _ in .silence }) { docker, runtimes in
            let began = ContinuousClock.now
            #expect(await runtimes.answer(.named(name)) == .failure(.unreachable(reason: "no answer in time")))
            #expect(ContinuousClock.now - began < .seconds(8))
            for _ in 0..<100 where docker.openConnections > 0 { try await Task.sleep(for: .milliseconds(20)) }
            #expect(docker.openConnections == 0)
        }
    }

    @Test func `a daemon that hangs up, or is not there, is unreachable`() async throws {
        try await withDocker({ _ in .hangUp }) { docker, runtimes in
            for _ in 0..<2 {
                guard case .failure(.unreachable) = await runtimes.answer(.named(name)) else {
                    Issue.record("not unreachable")
                    return
                }
            }
            try await docker.stop()
            let file = open(docker.path, O_CREAT | O_WRONLY, 0o600)
            close(file)
            guard case .failure(.unserved) = await runtimes.answer(.named(name)) else {
                Issue.record("not unserved")
                return
            }
            unlink(docker.path)
            #expect(
                await runtimes.answer(.named(name)) == .failure(.unreachable(reason: "no socket at \(docker.path)")))
        }
    }

    @Test func `of two daemons that know such a container none is chosen`() async throws {
        try await withDocker({ _ in inspection() }) { docker, _ in
            try await withDocker({ _ in inspection(of: id.replacing("0ca", with: "1ca")) }) { podman, _ in
                #expect(await directory(of: [docker, podman]).answer(.named(name)) == .failure(.ambiguous))
            }
        }
    }

    // MARK: Stopping

    private func stopping(
        _ answers: [String: FakeDocker.Answer], patience: TimeAmount = .seconds(10),
        _ body: (FakeDocker, RuntimeDirectory) async throws -> Void
    ) async throws {
        try await withDocker(
            patience: patience,
            { request in
                let last = request.split(separator: "/").last.map(String.init) ?? ""
                return answers[last] ?? inspection()
            }, body)
    }

    @Test(arguments: [(0, "kill?signal=KILL", 137), (30, "stop?t=30", 0)] as [(Int64, String, Int32)])
    func `a container is stopped, and its exit status read`(grace: Int64, order: String, code: Int32) async throws {
        try await stopping([
            order: .json("", status: 204), "wait": .json(#"{"StatusCode":\#(code)}"#),
        ]) { docker, runtimes in
            #expect(await runtimes.answer(.stop(id, graceSeconds: grace)) == .stopped(exitCode: code))
            #expect(
                docker.requests == [
                    "GET /containers/\(id)/json", "POST /containers/\(id)/\(order)", "POST /containers/\(id)/wait",
                ])
        }
    }

    @Test func `one that was removed as soon as it had ended is stopped`() async throws {
        let gone = FakeDocker.Answer.json(#"{"message":"No such container"}"#, status: 404)
        try await stopping(["kill?signal=KILL": .json("", status: 204), "wait": gone]) { _, runtimes in
            #expect(await runtimes.answer(.stop(id, graceSeconds: 0)) == .stopped(exitCode: nil))
        }
    }

    @Test func `one that ended by itself meanwhile is stopped`() async throws {
        let answers: [String: FakeDocker.Answer] = [
            "kill?signal=KILL": .json(#"{"message":"is not running"}"#, status: 409),
            "wait": .json(#"{"StatusCode":1}"#),
        ]
        try await stopping(answers) { _, runtimes in
            #expect(await runtimes.answer(.stop(id, graceSeconds: 0)) == .stopped(exitCode: 1))
        }
    }

    @Test func `the beginning of an identifier stops nothing`() async throws {
        try await stopping([:]) { docker, runtimes in
            #expect(await runtimes.answer(.stop("0ca993e45fcc", graceSeconds: 0)) == .failure(.notFound))
            #expect(docker.requests == ["GET /containers/0ca993e45fcc/json"])
        }
    }

    @Test(arguments: [FakeDocker.Answer.hangUp, .json(#"{"message":"cannot kill"}"#, status: 500)])
    func `a daemon that was told to stop and does not say that it did may have done it`(
        answer: FakeDocker.Answer
    ) async throws {
        try await stopping(["kill?signal=KILL": answer]) { _, runtimes in
            guard case .failure(.unconfirmed) = await runtimes.answer(.stop(id, graceSeconds: 0)) else {
                Issue.record("not unconfirmed")
                return
            }
        }
    }

    @Test func `a container may take longer to stop than any other question, and the order is taken back`() async throws
    {
        try await stopping(["stop?t=60": .silence], patience: .seconds(3)) { docker, runtimes in
            let stopping = Task { await runtimes.answer(.stop(id, graceSeconds: 60)) }
            try await Task.sleep(for: .seconds(4))
            #expect(docker.openConnections == 1)
            stopping.cancel()
            _ = await stopping.value
            for _ in 0..<100 where docker.openConnections > 0 { try await Task.sleep(for: .milliseconds(20)) }
            #expect(docker.openConnections == 0)
        }
    }
}
