import CRI
import ChaosModel
import ContainerRuntimes
import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import SwiftProtobuf
import Testing

private let id = String(repeating: "4f6b1c2d", count: 8)

private func bytes(_ message: some Message) -> [UInt8] {
    do { return try message.serializedBytes() } catch { fatalError("\(error)") }
}

private let answers: [String: [UInt8]] = [
    "Version": bytes(
        Runtime_V1_VersionResponse.with {
            $0.runtimeName = "containerd"
            $0.runtimeVersion = "1.7.24"
        }),
    "ContainerStatus": bytes(
        Runtime_V1_ContainerStatusResponse.with {
            $0.status.id = id
            $0.status.metadata.name = "web"
            $0.status.state = .containerRunning
            $0.info = ["info": #"{"sandboxID":"9a8b7c6d5e4f","pid":4711}"#]
        }),
    "PodSandboxStatus": bytes(
        Runtime_V1_PodSandboxStatusResponse.with {
            $0.status.metadata = .with {
                $0.name = "shop-0"
                $0.namespace = "shop"
                $0.uid = "uid-1"
            }
        }),
    "ListPodSandbox": bytes(
        Runtime_V1_ListPodSandboxResponse.with {
            $0.items = [
                .with {
                    $0.id = "9a8b7c6d5e4f"
                    $0.metadata.uid = "uid-1"
                }
            ]
        }),
    "ListContainers": [],
]

private let pods = RuntimeAnswer.list([RuntimePod(uid: "uid-1", containers: [])])

/// A pods' runtime that is well, and a Docker that nobody named.
struct GuessedRuntimeTests {
    private static let patience = TimeAmount.seconds(6)

    private func withBoth(
        knows: Bool = true, guessed: Bool = true, _ docker: @escaping @Sendable (String) -> FakeDocker.Answer,
        _ body: (FakeRuntime, FakeDocker, RuntimeDirectory) async throws -> Void
    ) async throws {
        let folder = "/tmp/squall-guess-\(UInt64.random(in: .min ... .max))"
        mkdir(folder, 0o700)
        defer { rmdir(folder) }
        let runtime = try await FakeRuntime(at: folder + "/runtime.sock") { method in
            knows || method != "ContainerStatus" ? .message(answers[method] ?? []) : .failure(5, "")
        }
        let daemon = try await FakeDocker(at: folder + "/docker.sock", docker)
        let places = [
            RuntimePlace(runtime.path, isNamed: !guessed), RuntimePlace("docker:\(daemon.path)", isNamed: !guessed),
        ]
        let directory = RuntimeDirectory(
            places, on: MultiThreadedEventLoopGroup.singleton.any(), patience: Self.patience, log: { _ in })
        try await body(runtime, daemon, directory)
        try await runtime.stop()
        try await daemon.stop()
    }

    private func duration(_ body: () async throws -> Void) async rethrows -> Duration {
        let began = ContinuousClock.now
        try await body()
        return ContinuousClock.now - began
    }

    @Test(arguments: [true, false])
    func `who knows a whole identifier is waited for alone`(guessed: Bool) async throws {
        try await withBoth(guessed: guessed, { _ in .silence }) { _, docker, runtimes in
            let took = await duration {
                guard case .container(let found) = await runtimes.answer(.container(id)) else {
                    Issue.record("not found")
                    return
                }
                #expect(found.id == id)
            }
            #expect(took < .seconds(4))
            for _ in 0..<100 where docker.openConnections > 0 { try await Task.sleep(for: .milliseconds(20)) }
            #expect(docker.openConnections == 0, "its question was taken back")
        }
    }

    @Test func `what only the one that hangs can know is not said to be missing`() async throws {
        let name = try #require(ContainerName("shop-db"))
        try await withBoth(knows: false, { _ in .silence }) { _, _, runtimes in
            for question in [RuntimeQuestion.container(id), .named(name)] {
                #expect(await runtimes.answer(question) == .failure(.unreachable(reason: "no answer in time")))
            }
        }
    }

    @Test func `pods are listed without it, and soon`() async throws {
        try await withBoth({ _ in .silence }) { _, _, runtimes in
            let took = await duration { #expect(await runtimes.answer(.list) == pods) }
            #expect(took < .seconds(5))
        }
    }

    @Test(arguments: [FakeDocker.Answer.hangUp, .json("{}", status: 500), .json("nonsense")])
    func `pods are listed without it, whatever ails it`(answer: FakeDocker.Answer) async throws {
        try await withBoth({ _ in answer }) { _, _, runtimes in
            #expect(await runtimes.answer(.list) == pods)
        }
    }

    @Test func `one that was named is missed`() async throws {
        try await withBoth(guessed: false, { _ in .hangUp }) { _, docker, runtimes in
            guard case .failure(.unreachable) = await runtimes.answer(.list) else {
                Issue.record("not unreachable")
                return
            }
            guard case .status(let statuses) = await runtimes.answer(.status) else {
                Issue.record("no status")
                return
            }
            guard case .unreachable = statuses.last?.availability else {
                Issue.record("not missed")
                return
            }
        }
    }

    @Test func `its status says that it does not answer, and that nobody needs it`() async throws {
        try await withBoth({ _ in .silence }) { runtime, docker, runtimes in
            let expected = [
                RuntimeStatus(
                    socket: runtime.path, availability: .available(runtime: "containerd", version: "1.7.24")),
                RuntimeStatus(socket: docker.path, availability: .dispensable(reason: "no answer in time")),
            ]
            #expect(await runtimes.answer(.status) == .status(expected))
        }
    }

    @Test func `alone it is needed`() async throws {
        try await withBoth({ _ in .hangUp }) { runtime, docker, runtimes in
            try await runtime.stop()
            guard case .status(let statuses) = await runtimes.answer(.status),
                case .unreachable = statuses.last?.availability
            else {
                Issue.record("not missed")
                return
            }
            guard case .failure(.unreachable) = await runtimes.answer(.list) else {
                Issue.record("not unreachable")
                return
            }
        }
    }

    @Test(.enabled(if: geteuid() != 0, "root enters every folder"))
    func `a socket where nobody may look is possible, unless whoever may says no`() async throws {
        let folder = "/tmp/squall-hidden-\(UInt64.random(in: .min ... .max))"
        mkdir(folder, 0o000)
        defer { rmdir(folder) }
        let place = RuntimePlace("docker:\(folder)/docker.sock", isNamed: false)
        #expect(RuntimeDirectory.isShutOut(of: [place], hidden: .possible))
        #expect(!RuntimeDirectory.isShutOut(of: [place], hidden: .none))
        let runtimes = RuntimeDirectory(
            [place], hidden: .none, on: MultiThreadedEventLoopGroup.singleton.any(), log: { _ in })
        #expect(
            await runtimes.answer(.status) == .status([RuntimeStatus(socket: place.path, availability: .absent)]))
    }
}
