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
        "/var/run/crio/crio.sock", "docker:/run/docker.sock", "docker:/run/podman/podman.sock",
    ]
    /// Before the path of a socket at which Docker's API is spoken.
    private static let dockerPrefix = "docker:"

    private let runtimes: [any ContainerRuntime]
    /// The administrator says that they are there.
    private let areNamed: Bool
    private let patience: TimeAmount

    /// - Parameters:
    ///   - sockets: Empty for the usual ones, of which a node has few or none. `docker:` before a path is for Docker's API.
    ///   - patience: How long a question may take. Shorter than the engine's, so that the reason reaches it.
    ///   - log: Takes a line when a runtime becomes unreachable, and when it answers again.
    ///   - whenShutOut: Called when this user may not connect to one of Docker's sockets.
    package init(
        sockets: [String], on loop: any EventLoop, patience: TimeAmount = .seconds(4),
        log: @escaping @Sendable (String) -> Void, whenShutOut: @escaping @Sendable () -> Void = {}
    ) {
        areNamed = !sockets.isEmpty
        runtimes = Self.all(sockets).map { socket in
            if let path = Self.dockerPath(socket) {
                return DockerSocket(path: path, on: loop, log: log, whenShutOut: whenShutOut)
            }
            return RuntimeSocket(path: socket, on: loop, log: log)
        }
        self.patience = patience
    }

    /// Whether one of Docker's sockets is there, to which this user may not connect.
    ///
    /// The corresponding system call is `access(2)`.
    package static func isShutOut(of sockets: [String]) -> Bool {
        all(sockets).compactMap(dockerPath).contains { access($0, R_OK | W_OK) != 0 && errno == EACCES }
    }

    private static func all(_ sockets: [String]) -> [String] { sockets.isEmpty ? usualSockets : sockets }

    private static func dockerPath(_ socket: String) -> String? {
        socket.hasPrefix(dockerPrefix) ? String(socket.dropFirst(dockerPrefix.count)) : nil
    }

    package func answer(_ question: RuntimeQuestion) async -> RuntimeAnswer {
        let deadline = NIODeadline.now() + patience + TimeAmount(question.extraPatience)
        do throws(RuntimeFailure) {
            switch question {
            case .container(let id):
                return .container(
                    try await theOne { runtime throws(RuntimeFailure) in
                        try await runtime.container(id, before: deadline)
                    })
            case .named(let name):
                return .container(
                    try await theOne { runtime throws(RuntimeFailure) in
                        try await runtime.container(named: name, before: deadline)
                    })
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

    private func stop(
        _ id: String, graceSeconds: Int64, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> Int32? {
        // Only the one that knows the container is told anything. The others may not be waited for long.
        let ordinary = NIODeadline.now() + patience
        return try await theOne { runtime throws(RuntimeFailure) in
            try await runtime.stop(id, graceSeconds: graceSeconds, asking: ordinary, before: deadline)
        }
    }

    /// What the one runtime says that knows the container.
    private func theOne<Value: Sendable>(
        _ question: @escaping @Sendable (any ContainerRuntime) async throws(RuntimeFailure) -> Value
    ) async throws(RuntimeFailure) -> Value {
        let results = await askPresent(question)
        var found: Value?
        var failure: RuntimeFailure?
        for result in results {
            switch result {
            case .success(let value):
                if found != nil { throw .ambiguous }
                found = value
            case .failure(.notFound): continue
            // Whoever knows the container outweighs whoever could not be asked.
            case .failure(.notRunning(let state)): failure = .notRunning(state)
            case .failure(.unconfirmed(let reason)): failure = .unconfirmed(reason: reason)
            case .failure(let other): failure = failure ?? other
            }
        }
        if let found { return found }
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
        await ask(runtimes) { runtime in
            guard isPresent(runtime) else {
                return RuntimeStatus(
                    socket: runtime.path, availability: areNamed ? .unreachable(reason: "there is no socket") : .absent)
            }
            do throws(RuntimeFailure) {
                let availability = try await runtime.version(before: deadline)
                return RuntimeStatus(socket: runtime.path, availability: availability)
            } catch {
                if isNone(error) { return RuntimeStatus(socket: runtime.path, availability: .absent) }
                return RuntimeStatus(socket: runtime.path, availability: .unreachable(reason: error.reason))
            }
        }
    }

    private var absence: RuntimeFailure {
        .unreachable(reason: "no socket at \(runtimes.map(\.path).joined(separator: ", "))")
    }

    /// Docker's containerd mostly comes with its CRI turned off, and a daemon that was stopped leaves its socket: as if there
    /// were none, unless it was named.
    private func isNone(_ failure: RuntimeFailure) -> Bool {
        if case .unserved = failure { return !areNamed }
        return false
    }

    /// Whether there is a socket, or something that hides whether there is.
    ///
    /// The corresponding system call is `stat(2)`.
    private func isPresent(_ runtime: any ContainerRuntime) -> Bool {
        var facts = stat()
        return stat(runtime.path, &facts) == 0 || (errno != ENOENT && errno != ENOTDIR)
    }

    /// Each once: on many nodes `/var/run` is `/run`.
    private var present: [any ContainerRuntime] {
        var seen: Set<[UInt64]> = []
        return runtimes.filter { runtime in
            var facts = stat()
            guard stat(runtime.path, &facts) == 0 else { return isPresent(runtime) }
            return seen.insert([UInt64(facts.st_dev), UInt64(facts.st_ino)]).inserted
        }
    }

    private func askPresent<Value: Sendable>(
        _ body: @escaping @Sendable (any ContainerRuntime) async throws(RuntimeFailure) -> Value
    ) async -> [Result<Value, RuntimeFailure>] {
        let results = await ask(present) { runtime -> Result<Value, RuntimeFailure> in
            do throws(RuntimeFailure) { return .success(try await body(runtime)) } catch { return .failure(error) }
        }
        return results.filter { result in
            if case .failure(let failure) = result { return !isNone(failure) }
            return true
        }
    }

    /// What each runtime answers, in the order of their sockets.
    private func ask<Value: Sendable>(
        _ runtimes: [any ContainerRuntime], _ body: @escaping @Sendable (any ContainerRuntime) async -> Value
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
        case .unreachable(let reason), .refused(let reason), .unserved(let reason), .unconfirmed(let reason): reason
        case .notFound, .notRunning, .ambiguous: description
        }
    }
}
