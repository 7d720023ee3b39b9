internal import ChaosModel
package import ContainerRuntimes
internal import Glibc
internal import LinuxSystem
package import NIOCore

/// The node's container runtimes: answers each question by asking all of them at once.
package struct RuntimeDirectory: Sendable {
    /// Where runtimes listen, unless the administrator says otherwise.
    private static let usualSockets = [
        "/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock", "/run/crio/crio.sock",
        "/var/run/crio/crio.sock",
    ]

    private let sockets: [RuntimeSocket]
    /// The administrator says that they are there.
    private let areNamed: Bool
    private let patience: TimeAmount

    /// - Parameters:
    ///   - sockets: Empty for the usual ones, of which a node has one or none.
    ///   - patience: How long a question may take. Shorter than the engine's, so that the reason reaches it.
    ///   - log: Takes a line when a runtime becomes unreachable, and when it answers again.
    package init(
        sockets: [String], on loop: any EventLoop, patience: TimeAmount = .seconds(4),
        log: @escaping @Sendable (String) -> Void
    ) {
        areNamed = !sockets.isEmpty
        self.sockets = (areNamed ? sockets : Self.usualSockets).map { RuntimeSocket(path: $0, on: loop, log: log) }
        self.patience = patience
    }

    package func answer(_ question: RuntimeQuestion) async -> RuntimeAnswer {
        let deadline = NIODeadline.now() + patience + TimeAmount(question.extraPatience)
        do throws(RuntimeFailure) {
            switch question {
            case .container(let id): return .container(try await container(id, before: deadline))
            case .list: return .list(try await pods(matching: nil, before: deadline))
            case .find(let pod): return .list(try await pods(matching: pod, before: deadline))
            case .status: return .status(await statuses(before: deadline))
            case .stop(let id, let graceSeconds):
                return .stopped(exitCode: try await stop(id, graceSeconds: graceSeconds, before: deadline))
            }
        } catch {
            return .failure(error)
        }
    }

    private func container(_ id: String, before deadline: NIODeadline) async throws(RuntimeFailure) -> RuntimeContainer
    {
        let results = await askPresent { runtime throws(RuntimeFailure) in
            try await runtime.container(id, before: deadline)
        }
        return try theOne(among: results)
    }

    private func stop(
        _ id: String, graceSeconds: Int64, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> Int32? {
        // Only the one that knows the container is told anything. The others may not be waited for long.
        let ordinary = NIODeadline.now() + patience
        let results = await askPresent { runtime throws(RuntimeFailure) in
            try await runtime.stop(id, graceSeconds: graceSeconds, asking: ordinary, before: deadline)
        }
        return try theOne(among: results)
    }

    /// What the one runtime says that knows the container.
    private func theOne<Value>(among results: [Result<Value, RuntimeFailure>]) throws(RuntimeFailure) -> Value {
        var failure: RuntimeFailure?
        for result in results {
            switch result {
            case .success(let value): return value
            case .failure(.notFound): continue
            // Whoever knows the container outweighs whoever could not be asked.
            case .failure(.notRunning(let state)): failure = .notRunning(state)
            case .failure(.unconfirmed(let reason)): failure = .unconfirmed(reason: reason)
            case .failure(let other): failure = failure ?? other
            }
        }
        throw failure ?? (results.isEmpty ? absence : .notFound)
    }

    private func pods(
        matching selector: PodSelector?, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> [RuntimePod] {
        let results = await askPresent { runtime throws(RuntimeFailure) in
            if let selector { return try await runtime.pods(matching: selector, before: deadline) }
            return try await runtime.pods(before: deadline)
        }
        if results.isEmpty { throw absence }
        var pods: [RuntimePod] = []
        for result in results { pods += try result.get() }
        return pods
    }

    private func statuses(before deadline: NIODeadline) async -> [RuntimeStatus] {
        await ask(sockets) { runtime in
            guard isPresent(runtime) else {
                return RuntimeStatus(
                    socket: runtime.path, availability: areNamed ? .unreachable(reason: "there is no socket") : .absent)
            }
            do throws(RuntimeFailure) {
                let availability = try await runtime.version(before: deadline)
                return RuntimeStatus(socket: runtime.path, availability: availability)
            } catch {
                return RuntimeStatus(socket: runtime.path, availability: .unreachable(reason: error.reason))
            }
        }
    }

    private var absence: RuntimeFailure {
        .unreachable(reason: "no socket at \(sockets.map(\.path).joined(separator: ", "))")
    }

    /// Whether there is a socket, or something that hides whether there is.
    ///
    /// The corresponding system call is `stat(2)`.
    private func isPresent(_ runtime: RuntimeSocket) -> Bool {
        var facts = stat()
        return stat(runtime.path, &facts) == 0 || (errno != ENOENT && errno != ENOTDIR)
    }

    /// Each once: on many nodes `/var/run` is `/run`.
    private var presentSockets: [RuntimeSocket] {
        var seen: Set<[UInt64]> = []
        return sockets.filter { runtime in
            var facts = stat()
            guard stat(runtime.path, &facts) == 0 else { return isPresent(runtime) }
            return seen.insert([UInt64(facts.st_dev), UInt64(facts.st_ino)]).inserted
        }
    }

    private func askPresent<Value: Sendable>(
        _ body: @escaping @Sendable (RuntimeSocket) async throws(RuntimeFailure) -> Value
    ) async -> [Result<Value, RuntimeFailure>] {
        await ask(presentSockets) { runtime in
            do throws(RuntimeFailure) { return .success(try await body(runtime)) } catch { return .failure(error) }
        }
    }

    /// What each runtime answers, in the order of their sockets.
    private func ask<Value: Sendable>(
        _ runtimes: [RuntimeSocket], _ body: @escaping @Sendable (RuntimeSocket) async -> Value
    ) async -> [Value] {
        await withTaskGroup(of: (Int, Value).self) { group in
            for (index, runtime) in runtimes.enumerated() {
                group.addTask { (index, await body(runtime)) }
            }
            var values: [(Int, Value)] = []
            for await value in group { values.append(value) }
            return values.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }
}

extension TimeAmount {
    init(_ duration: Duration) {
        self = .nanoseconds(duration.wholeNanoseconds)
    }
}

extension RuntimeFailure {
    /// Without the words that say which kind of failure it is.
    var reason: String {
        switch self {
        case .unreachable(let reason), .refused(let reason), .unconfirmed(let reason): reason
        case .notFound, .notRunning: description
        }
    }
}
