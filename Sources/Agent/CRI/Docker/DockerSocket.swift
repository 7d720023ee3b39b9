internal import ChaosModel
internal import ContainerRuntimes
internal import FoundationEssentials
internal import Glibc
internal import LinuxSystem
internal import NIOCore
internal import NIOHTTP1

/// Docker's Engine API, which Podman speaks too, behind its socket. Its containers are no pod's: those that kubelet has it run are
/// told of by CRI alone.
///
/// Paths name no version: each daemon then speaks its own latest, in which what is read here is the same since long.
actor DockerSocket: ContainerRuntime {
    nonisolated let path: String
    private let loop: any EventLoop
    private let whenShutOut: @Sendable () -> Void
    private var reachability: Reachability

    init(
        path: String, on loop: any EventLoop, log: @escaping @Sendable (String) -> Void,
        whenShutOut: @escaping @Sendable () -> Void
    ) {
        self.path = path
        self.loop = loop
        self.whenShutOut = whenShutOut
        reachability = Reachability(of: path, log: log)
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor.asUnownedSerialExecutor() }

    func container(_ id: String, before deadline: NIODeadline) async throws(RuntimeFailure) -> RuntimeContainer {
        // It takes names for identifiers, and anything else for a part of the path.
        guard ContainerName.isIdentifier(id) else { throw .notFound }
        let found = try await inspect(id, before: deadline)
        guard found.id.hasPrefix(id) else { throw .notFound }
        return try found.running
    }

    func container(
        named name: ContainerName, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> RuntimeContainer {
        let found = try await inspect("\(name)", before: deadline)
        guard found.ownName == "\(name)" else { throw .notFound }
        return try found.running
    }

    func pods(before deadline: NIODeadline) async throws(RuntimeFailure) -> [RuntimePod] {
        // Those that run, unless all are asked for.
        let listed: [DockerListEntry] = try await read("/containers/json", before: deadline)
        return [RuntimePod(uid: "", containers: listed.compactMap(\.container))]
    }

    func pods(
        matching selector: PodSelector, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> [RuntimePod] { [] }

    /// As `docker kill` and `docker stop` do it: it is not started again by its restart policy.
    func stop(
        _ id: String, graceSeconds: Int64, asking: NIODeadline, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> Int32? {
        let before = try await container(id, before: asking)
        guard before.id == id else { throw .notFound }
        do throws(RuntimeFailure) {
            let order = graceSeconds == 0 ? "kill?signal=KILL" : "stop?t=\(graceSeconds)"
            // 304 and 409: it has ended by itself meanwhile.
            _ = try await call(.POST, "/containers/\(id)/\(order)", allowing: [304, 409], before: deadline)
            let ended: DockerExit = try decode(
                try await call(.POST, "/containers/\(id)/wait", before: deadline), of: "wait")
            return ended.code
        } catch {
            // It has ended and was removed at once.
            if error == .notFound { return nil }
            throw .unconfirmed(reason: error.reason)
        }
    }

    func version(before deadline: NIODeadline) async throws(RuntimeFailure) -> RuntimeStatus.Availability {
        let version: DockerVersion = try await read("/version", before: deadline)
        return .available(runtime: version.isPodman ? "podman" : "docker", version: version.version)
    }

    private func inspect(_ name: String, before deadline: NIODeadline) async throws(RuntimeFailure) -> DockerContainer {
        let found: DockerContainer = try await read("/containers/\(name)/json", before: deadline)
        if found.isOfPod { throw .notFound }
        // The kernel is asked for this identifier: a part of one would be in others' cgroups, too.
        guard ContainerName.isWholeIdentifier(found.id) else {
            throw .refused(reason: "\"\(found.id.cut(to: 128))\" is no identifier of a container")
        }
        return found
    }

    private func read<Value: Decodable>(
        _ place: String, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> Value {
        try decode(try await call(.GET, place, before: deadline), of: place)
    }

    private func decode<Value: Decodable>(_ body: [UInt8], of place: String) throws(RuntimeFailure) -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(body))
        } catch {
            throw .refused(reason: "\(place): \(error)".cut(to: 256))
        }
    }

    /// - Parameter allowing: Answers that are as good as those from 200 to 299.
    /// - Returns: The answer's body.
    private func call(
        _ method: HTTPMethod, _ place: String, allowing: Set<Int> = [], before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> [UInt8] {
        do throws(CallFailure) {
            let answer = try await exchange(method, place, before: deadline)
            guard (200...299).contains(answer.status) || allowing.contains(answer.status) else {
                throw .status(code: answer.status, message: answer.message)
            }
            reachability.note(nil)
            return answer.body
        } catch {
            reachability.note(error)
            switch error {
            case .status(code: 404, message: _): throw .notFound
            case .status(let code, let message): throw .refused(reason: "status \(code): \(message)")
            case .unreachable, .unserved, .malformed, .withdrawn: throw error.runtimeFailure
            }
        }
    }

    private func exchange(
        _ method: HTTPMethod, _ place: String, before deadline: NIODeadline
    ) async throws(CallFailure) -> DockerAnswer {
        // What was taken back by now is not even asked for.
        if Task.isCancelled { throw .withdrawn }
        let answer = loop.makePromise(of: DockerAnswer.self)
        DockerCall.begin(method, place, at: path, on: loop, before: deadline, answer: answer)
        do {
            return try await withTaskCancellationHandler {
                try await answer.futureResult.get()
            } onCancel: {
                answer.fail(CallFailure.withdrawn)
            }
        } catch let failure as CallFailure {
            throw failure
        } catch let error as IOError {
            if error.errnoCode == EACCES { whenShutOut() }
            let reason = "connect \(path): \(Errno(rawValue: error.errnoCode))"
            // systemd leaves the socket of a daemon that was stopped.
            throw error.errnoCode == ECONNREFUSED ? .unserved(reason) : .unreachable(reason)
        } catch {
            throw .unreachable("\(error)")
        }
    }
}
