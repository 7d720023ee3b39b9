import CRI
import ChaosModel
import ContainerRuntimes
import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP2
import NIOPosix
import SwiftProtobuf
import Testing

private let id = "4f6b1c2d3e4f"

private func status(of id: String = id, state: Runtime_V1_ContainerState = .containerRunning, info: String) -> [UInt8] {
    bytes(
        Runtime_V1_ContainerStatusResponse.with {
            $0.status.id = id
            $0.status.metadata.name = "web"
            $0.status.state = state
            $0.status.createdAt = 17
            $0.info = ["info": info]
        })
}

private func bytes(_ message: some Message) -> [UInt8] {
    do { return try message.serializedBytes() } catch { fatalError("\(error)") }
}

private let sandbox = bytes(
    Runtime_V1_PodSandboxStatusResponse.with {
        $0.status.metadata = .with {
            $0.name = "shop-0"
            $0.namespace = "shop"
            $0.uid = "uid-1"
        }
        $0.status.labels = ["app": "shop"]
        $0.status.annotations = ["squall.dev/allow": "true"]
        $0.status.linux.namespaces.options.network = .node
        $0.info = ["info": #"{"pid":4650,"image":"pause"}"#]
    })

private let version = bytes(
    Runtime_V1_VersionResponse.with {
        $0.runtimeName = "containerd"
        $0.runtimeVersion = "1.7.24"
    })

/// Limits of the specification hold 2^64 - 1.
private let info = #"""
    {"sandboxID":"9a8b7c6d5e4f","pid":4711,"removing":false,"runtimeSpec":{"process":{"rlimits":\#
    [{"type":"RLIMIT_NOFILE","hard":18446744073709551615}]},"linux":{"cgroupsPath":"a.slice:cri-containerd:4f"}}}
    """#

/// A folder for sockets, with a runtime in it that answers as told.
private func withRuntime(
    patience: TimeAmount = .seconds(10), _ actions: @escaping @Sendable (String) -> [FakeRuntime.Action],
    _ body: (FakeRuntime, RuntimeDirectory) async throws -> Void
) async throws {
    try await withFolder { folder in
        let runtime = try await FakeRuntime(at: folder + "/runtime.sock", actions)
        try await body(runtime, directory(of: [runtime.path], patience: patience))
        try await runtime.stop()
    }
}

private func withFolder(_ body: (String) async throws -> Void) async throws {
    let folder = "/tmp/squall-cri-\(UInt64.random(in: .min ... .max))"
    mkdir(folder, 0o700)
    defer { rmdir(folder) }
    try await body(folder)
}

private func directory(
    of sockets: [String], patience: TimeAmount = .seconds(10),
    log: @escaping @Sendable (String) -> Void = { _ in }
) -> RuntimeDirectory {
    RuntimeDirectory(
        RuntimePlace.all(named: sockets), on: MultiThreadedEventLoopGroup.singleton.any(), patience: patience, log: log)
}

struct RuntimeDirectoryTests {
    @Test(arguments: [1, 3, 100])
    func `a container is told with its pod, in however many frames`(pieces: Int) async throws {
        try await withRuntime({
            .message($0 == "ContainerStatus" ? status(info: info) : sandbox, pieces: pieces)
        }) { _, runtimes in
            let expected = RuntimeContainer(
                id: id, name: "web", processID: 4711, cgroupsPath: "a.slice:cri-containerd:4f", createdAt: 17,
                sandbox: RuntimeSandbox(
                    id: "9a8b7c6d5e4f", processID: 4650, podName: "shop-0", podNamespace: "shop", podUID: "uid-1",
                    labels: ["app": "shop"], annotations: ["squall.dev/allow": "true"], usesHostNetwork: true))
            #expect(await runtimes.answer(.container(id)) == .container(expected))
        }
    }

    @Test func `the beginning of an identifier finds nothing`() async throws {
        try await withRuntime({ _ in .message(status(of: id + "5a6b", info: info)) }) { _, runtimes in
            #expect(await runtimes.answer(.container(id)) == .failure(.notFound))
        }
    }

    @Test func `a container that has ended is not running`() async throws {
        try await withRuntime({ _ in .message(status(state: .containerExited, info: #"{"pid":0}"#)) }) { _, runtimes in
            #expect(await runtimes.answer(.container(id)) == .failure(.notRunning(.exited)))
        }
    }

    @Test(arguments: ["", "{}", #"{"pid":0,"sandboxID":"s"}"#, #"{"pid":"4711"}"#, #"{"pid":99999999999}"#])
    func `a status without a process is refused`(info: String) async throws {
        try await withRuntime({ _ in .message(status(info: info)) }) { _, runtimes in
            guard case .failure(.refused) = await runtimes.answer(.container(id)) else {
                Issue.record("not refused")
                return
            }
        }
    }

    @Test func `an unknown container is not found`() async throws {
        try await withRuntime({ _ in .failure(5, "an error occurred: not found") }) { _, runtimes in
            #expect(await runtimes.answer(.container(id)) == .failure(.notFound))
        }
    }

    @Test func `another failure of the runtime is told as it says it`() async throws {
        try await withRuntime({ _ in .failure(13, "unknown service%20runtime.v1") }) { _, runtimes in
            #expect(
                await runtimes.answer(.container(id))
                    == .failure(.refused(reason: "status 13: unknown service runtime.v1")))
        }
    }

    @Test func `what has its CRI turned off serves none`() async throws {
        try await withRuntime({ _ in .failure(12, "unknown service runtime.v1.RuntimeService") }) { runtime, runtimes in
            let reason = "unknown service runtime.v1.RuntimeService"
            #expect(await runtimes.answer(.list) == .failure(.unserved(reason: reason)))
            let status = RuntimeStatus(socket: runtime.path, availability: .unreachable(reason: reason))
            #expect(await runtimes.answer(.status) == .status([status]), "it was named")
        }
    }

    @Test func `a name is no business of CRI's`() async throws {
        try await withRuntime({ _ in [.closeConnection] }) { runtime, runtimes in
            let name = try #require(ContainerName("shop-db"))
            #expect(await runtimes.answer(.named(name)) == .failure(.notFound))
            #expect(runtime.connectionCount == 0)
        }
    }

    @Test func `bytes that are no message are refused`() async throws {
        try await withRuntime({ _ in .message([0xFF, 0xFF, 0xFF]) }) { _, runtimes in
            guard case .failure(.refused) = await runtimes.answer(.container(id)) else {
                Issue.record("not refused")
                return
            }
        }
    }

    @Test func `a runtime that hangs is unreachable at the deadline, and asked again`() async throws {
        let calls = NIOLockedValueBox(0)
        try await withRuntime(
            patience: .seconds(2),
            { _ in
                calls.withLockedValue { $0 += 1 }
                return calls.withLockedValue { $0 } == 1 ? [] : .message(version)
            }
        ) { runtime, runtimes in
            let began = ContinuousClock.now
            #expect(await runtimes.answer(.container(id)) == .failure(.unreachable(reason: "no answer in time")))
            #expect(ContinuousClock.now - began < .seconds(8))
            #expect(
                await runtimes.answer(.status)
                    == .status([
                        RuntimeStatus(
                            socket: runtime.path, availability: .available(runtime: "containerd", version: "1.7.24"))
                    ]))
        }
    }

    @Test func `calls share a connection until the runtime wants no more of them`() async throws {
        let isLeaving = NIOLockedValueBox(false)
        try await withRuntime({ _ in
            (isLeaving.withLockedValue { $0 } ? [.goAway, .wait(.milliseconds(50))] : []) + .message(version)
        }) { runtime, runtimes in
            let fine = RuntimeAnswer.status([
                RuntimeStatus(socket: runtime.path, availability: .available(runtime: "containerd", version: "1.7.24"))
            ])
            #expect(await runtimes.answer(.status) == fine)
            #expect(await runtimes.answer(.status) == fine)
            #expect(runtime.connectionCount == 1)
            isLeaving.withLockedValue { $0 = true }
            #expect(await runtimes.answer(.status) == fine, "the call under way is answered")
            isLeaving.withLockedValue { $0 = false }
            #expect(await runtimes.answer(.status) == fine)
            #expect(runtime.connectionCount == 2)
        }
    }

    @Test func `a runtime may ping with every answer`() async throws {
        try await withRuntime({ _ in [.ping] + .message(version) }) { runtime, runtimes in
            for _ in 0..<500 {
                guard case .status(let statuses) = await runtimes.answer(.status),
                    case .available = statuses.first?.availability
                else {
                    Issue.record("unavailable")
                    return
                }
            }
            #expect(runtime.connectionCount == 1)
        }
    }

    @Test func `a connection lost amid a call is an unreachable runtime, and the next call makes another`() async throws
    {
        let calls = NIOLockedValueBox(0)
        try await withRuntime({ _ in
            calls.withLockedValue { $0 += 1 }
            return calls.withLockedValue { $0 } == 1 ? [.closeConnection] : .failure(5, "")
        }) { _, runtimes in
            guard case .failure(.unreachable) = await runtimes.answer(.container(id)) else {
                Issue.record("not unreachable")
                return
            }
            #expect(await runtimes.answer(.container(id)) == .failure(.notFound))
        }
    }

    @Test func `a restarted runtime is found again, and a person is told twice`() async throws {
        try await withFolder { folder in
            let path = folder + "/runtime.sock"
            let lines = NIOLockedValueBox<[String]>([])
            let runtimes = directory(of: [path]) { line in lines.withLockedValue { $0.append(line) } }
            let first = try await FakeRuntime(at: path) { _ in [.closeConnection] }
            for _ in 0..<2 {
                guard case .failure(.unreachable) = await runtimes.answer(.container(id)) else {
                    Issue.record("not unreachable")
                    return
                }
            }
            try await first.stop()
            let second = try await FakeRuntime(at: path) { _ in .failure(5, "") }
            #expect(await runtimes.answer(.container(id)) == .failure(.notFound))
            try await second.stop()
            let told = lines.withLockedValue { $0 }
            #expect(told.count == 2)
            #expect(told.last == "container runtime at \(path) answers again")
        }
    }

    @Test func `a socket without a runtime behind it is unreachable; no socket at all is, too`() async throws {
        try await withFolder { folder in
            let path = folder + "/runtime.sock"
            let runtimes = directory(of: [path])
            #expect(
                await runtimes.answer(.container(id)) == .failure(.unreachable(reason: "no socket at \(path)")))
            let missing = RuntimeStatus.Availability.unreachable(reason: "there is no socket")
            #expect(await runtimes.answer(.status) == .status([RuntimeStatus(socket: path, availability: missing)]))

            let file = open(path, O_CREAT | O_WRONLY, 0o600)
            close(file)
            defer { unlink(path) }
            guard case .failure(.unreachable) = await runtimes.answer(.container(id)) else {
                Issue.record("not unreachable")
                return
            }
        }
    }

    @Test func `of two runtimes, one that cannot be asked may still have the container`() async throws {
        try await withFolder { folder in
            let one = try await FakeRuntime(at: folder + "/1.sock") { _ in .failure(5, "") }
            let hangs = NIOLockedValueBox(true)
            let other = try await FakeRuntime(at: folder + "/2.sock") { _ in
                hangs.withLockedValue { $0 } ? [] : .failure(5, "")
            }
            let runtimes = directory(of: [one.path, other.path], patience: .seconds(2))
            #expect(await runtimes.answer(.container(id)) == .failure(.unreachable(reason: "no answer in time")))
            hangs.withLockedValue { $0 = false }
            #expect(await runtimes.answer(.container(id)) == .failure(.notFound))
            try await one.stop()
            try await other.stop()
        }
    }

    /// A runtime that stops containers: of each status that it is asked for, the next.
    private func stopping(
        _ statuses: [[UInt8]], _ answer: [FakeRuntime.Action] = .message([]),
        _ body: (FakeRuntime, RuntimeDirectory) async throws -> Void
    ) async throws {
        let left = NIOLockedValueBox(statuses[...])
        try await withRuntime(
            patience: .seconds(2),
            { method in
                if method == "StopContainer" { return answer }
                return .message(left.withLockedValue { $0.popFirst() } ?? [])
            }, body)
    }

    private static let running = status(info: "{}")

    private static func exited(_ code: Int32) -> [UInt8] {
        bytes(
            Runtime_V1_ContainerStatusResponse.with {
                $0.status.id = id
                $0.status.state = .containerExited
                $0.status.exitCode = code
            })
    }

    @Test(arguments: [(0, 137), (30, 0)] as [(Int64, Int32)])
    func `a container is stopped, and its exit status read back`(grace: Int64, code: Int32) async throws {
        try await stopping([Self.running, Self.exited(code)]) { runtime, runtimes in
            #expect(await runtimes.answer(.stop(id, graceSeconds: grace)) == .stopped(exitCode: code))
            let request = try Runtime_V1_StopContainerRequest(
                serializedBytes: try #require(runtime.requests("StopContainer").first))
            #expect((request.containerID, request.timeout) == (id, grace))
            #expect(runtime.requests("StopContainer").count == 1)
        }
    }

    @Test func `a container that was removed as soon as it had ended is stopped`() async throws {
        try await stopping([Self.running, status(of: "", info: "")]) { _, runtimes in
            #expect(await runtimes.answer(.stop(id, graceSeconds: 0)) == .stopped(exitCode: nil))
        }
    }

    @Test func `to stop the beginning of an identifier, or what has ended, tells the runtime nothing`() async throws {
        try await stopping([status(of: id + "5a6b", info: "{}"), Self.exited(0)]) { runtime, runtimes in
            #expect(await runtimes.answer(.stop(id, graceSeconds: 0)) == .failure(.notFound))
            #expect(await runtimes.answer(.stop(id, graceSeconds: 0)) == .failure(.notRunning(.exited)))
            #expect(runtime.requests("StopContainer") == [])
        }
    }

    @Test(
        arguments: [
            (.failure(13, "no shim"), "status 13: no shim"), ([.closeConnection], nil),
            (.message([]), "the container runs on"),
        ] as [([FakeRuntime.Action], String?)])
    func `a runtime that was told to stop and does not say that it did may have done it`(
        answer: [FakeRuntime.Action], reason: String?
    ) async throws {
        try await stopping([Self.running, Self.running], answer) { _, runtimes in
            guard case .failure(.unconfirmed(let found)) = await runtimes.answer(.stop(id, graceSeconds: 0)) else {
                Issue.record("not unconfirmed")
                return
            }
            #expect(reason == nil || found == reason)
        }
    }

    @Test func `a container may take longer to stop than any other question`() async throws {
        try await stopping([Self.running, Self.exited(143)], [.wait(.seconds(3))] + .message([])) { _, runtimes in
            #expect(await runtimes.answer(.stop(id, graceSeconds: 1)) == .stopped(exitCode: 143))
        }
    }

    @Test func `of two runtimes the one that knows the container stops it, though the other hangs`() async throws {
        try await withFolder { folder in
            let statuses = NIOLockedValueBox([Self.running, Self.exited(137)][...])
            let one = try await FakeRuntime(at: folder + "/1.sock") { method in
                .message(method == "StopContainer" ? [] : statuses.withLockedValue { $0.popFirst() } ?? [])
            }
            let other = try await FakeRuntime(at: folder + "/2.sock") { _ in [] }
            let runtimes = directory(of: [one.path, other.path], patience: .seconds(1))
            #expect(await runtimes.answer(.stop(id, graceSeconds: 0)) == .stopped(exitCode: 137))
            #expect(other.requests("StopContainer") == [])
            try await one.stop()
            try await other.stop()
        }
    }

    @Test func `an order that is taken back is given up, and the connection is used on`() async throws {
        try await stopping([Self.running, Self.running, Self.exited(0)], []) { runtime, runtimes in
            let stop = Task { await runtimes.answer(.stop(id, graceSeconds: 60)) }
            for _ in 0..<1000 where runtime.requests("StopContainer").isEmpty {
                try await Task.sleep(for: .milliseconds(5))
            }
            stop.cancel()
            guard case .failure(.unconfirmed) = await stop.value else {
                Issue.record("not unconfirmed")
                return
            }
            for _ in 0..<1000 where runtime.givenUp.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
            #expect(runtime.givenUp == ["StopContainer"])
            guard case .failure(.refused) = await runtimes.answer(.container(id)) else {
                Issue.record("not asked again")
                return
            }
            #expect(runtime.connectionCount == 1)
        }
    }

    @Test func `the list names pods with their running containers`() async throws {
        let containers = bytes(
            Runtime_V1_ListContainersResponse.with {
                $0.containers = [
                    .with {
                        $0.id = id
                        $0.podSandboxID = "9a8b7c6d5e4f"
                        $0.metadata.name = "web"
                        $0.state = .containerRunning
                    }
                ]
            })
        let sandboxes = bytes(
            Runtime_V1_ListPodSandboxResponse.with {
                $0.items = [
                    .with {
                        $0.id = "9a8b7c6d5e4f"
                        $0.metadata = .with {
                            $0.name = "shop-0"
                            $0.namespace = "shop"
                            $0.uid = "uid-1"
                        }
                    }
                ]
            })
        try await withRuntime({ .message($0 == "ListContainers" ? containers : sandboxes) }) { _, runtimes in
            #expect(
                await runtimes.answer(.list)
                    == .list([RuntimePod(uid: "uid-1", containers: [.init(id: id, name: "web")])]))
        }
    }

    @Test(
        arguments: [
            (PodSelector(namespace: "shop", name: "web"), ["uid-1"]),
            (PodSelector(namespace: "shop", labels: ["app": "shop"]), ["uid-1", "uid-2"]),
            (PodSelector(namespace: "shop", labels: ["app": "shop", "tier": "db"]), ["uid-2"]),
            (PodSelector(namespace: "bank", labels: ["app": "shop"]), ["uid-3"]),
            (PodSelector(namespace: "bank", name: "web", uid: "uid-1"), []),
            (PodSelector(namespace: "shop", uid: "uid-2"), ["uid-2"]),
            // Its sandbox has ended: another took its place.
            (PodSelector(namespace: "shop", uid: "uid-4"), []),
        ])
    func `pods are found by what is said of them`(selector: PodSelector, expected: [String]) async throws {
        func sandbox(
            _ number: Int, _ namespace: String, _ name: String, _ labels: [String: String],
            _ state: Runtime_V1_PodSandboxState = .sandboxReady
        ) -> Runtime_V1_PodSandbox {
            .with {
                $0.id = "sandbox-\(number)"
                $0.metadata.name = name
                $0.metadata.namespace = namespace
                $0.metadata.uid = "uid-\(number)"
                $0.labels = labels
                $0.state = state
            }
        }
        func container(_ name: String, in sandbox: Int, _ state: Runtime_V1_ContainerState) -> Runtime_V1_Container {
            .with {
                $0.id = "\(name)-\(sandbox)"
                $0.podSandboxID = "sandbox-\(sandbox)"
                $0.metadata.name = name
                $0.state = state
            }
        }
        let sandboxes = bytes(
            Runtime_V1_ListPodSandboxResponse.with {
                $0.items = [
                    sandbox(1, "shop", "web", ["app": "shop", "tier": "web"]),
                    sandbox(2, "shop", "db", ["app": "shop", "tier": "db"]), sandbox(3, "bank", "web", ["app": "shop"]),
                    sandbox(4, "shop", "web", ["app": "shop"], .sandboxNotready),
                ]
            })
        let containers = bytes(
            Runtime_V1_ListContainersResponse.with {
                $0.containers = [
                    container("app", in: 1, .containerRunning), container("app", in: 2, .containerRunning),
                    container("init", in: 2, .containerExited),
                ]
            })
        let theirs: [String: [RuntimePod.Container]] = [
            "uid-1": [.init(id: "app-1", name: "app")],
            "uid-2": [.init(id: "app-2", name: "app"), .init(id: "init-2", name: "init", isRunning: false)],
        ]
        try await withRuntime({ .message($0 == "ListContainers" ? containers : sandboxes) }) { _, runtimes in
            let pods = expected.map { RuntimePod(uid: $0, containers: theirs[$0] ?? []) }
            #expect(await runtimes.answer(.find(selector)) == .list(pods))
        }
    }
}
