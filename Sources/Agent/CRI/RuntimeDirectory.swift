internal import ChaosModel
package import ContainerRuntimes
internal import Glibc
internal import LinuxSystem
package import NIOCore

/// Whether a socket may be in a folder that this user does not enter.
package enum HiddenSockets: Sendable {
    case possible
    /// Whoever may look says that none is there.
    case none
}

/// The node's container runtimes: answers each question by asking all of them at once.
package struct RuntimeDirectory: Sendable {
    /// How much longer those are waited for that were only guessed at, when all others have answered.
    private static let grace = TimeAmount.seconds(1)

    private struct Source: Sendable {
        let place: RuntimePlace
        let runtime: any ContainerRuntime
    }

    private struct Reply<Value: Sendable>: Sendable {
        let place: RuntimePlace
        let result: Result<Value, RuntimeFailure>

        var isSuccess: Bool { if case .success = result { true } else { false } }
    }

    private enum Event<Value: Sendable>: Sendable {
        case answered(Int, Reply<Value>)
        case graceOver
    }

    /// Whose answers are enough.
    private enum Quorum {
        /// The first that knows a container by its whole identifier, which no other has.
        case first
        /// One that has an answer, and all others but those that were only guessed at.
        case named
    }

    private let sources: [Source]
    private let hidden: HiddenSockets
    private let loop: any EventLoop
    private let patience: TimeAmount

    /// - Parameters:
    ///   - patience: How long a question may take. Shorter than the engine's, so that the reason reaches it.
    ///   - log: Takes a line when a runtime becomes unreachable, and when it answers again.
    ///   - whenShutOut: Called when this user may not connect to one of Docker's sockets.
    package init(
        _ places: [RuntimePlace], hidden: HiddenSockets = .possible, on loop: any EventLoop,
        patience: TimeAmount = .seconds(4), log: @escaping @Sendable (String) -> Void,
        whenShutOut: @escaping @Sendable () -> Void = {}
    ) {
        sources = places.map { place in
            switch place.language {
            case .docker:
                Source(
                    place: place,
                    runtime: DockerSocket(path: place.path, on: loop, log: log, whenShutOut: whenShutOut))
            case .cri: Source(place: place, runtime: RuntimeSocket(path: place.path, on: loop, log: log))
            }
        }
        self.hidden = hidden
        self.loop = loop
        self.patience = patience
    }

    /// Whether one of Docker's sockets is there, to which this user may not connect.
    ///
    /// The corresponding system call is `access(2)`.
    package static func isShutOut(of places: [RuntimePlace], hidden: HiddenSockets) -> Bool {
        places.contains { place in
            place.language == .docker && place.isPresent(hidden) && access(place.path, R_OK | W_OK) != 0
                && errno == EACCES
        }
    }

    package func answer(_ question: RuntimeQuestion) async -> RuntimeAnswer {
        let deadline = NIODeadline.now() + patience + TimeAmount(question.extraPatience)
        do throws(RuntimeFailure) {
            switch question {
            case .container(let id):
                // Two may each have one that begins so.
                let quorum: Quorum = ContainerName.isWholeIdentifier(id) ? .first : .named
                return .container(
                    try await theOne(quorum) { runtime throws(RuntimeFailure) in
                        try await runtime.container(id, before: deadline)
                    })
            case .named(let name):
                return .container(
                    try await theOne(.named) { runtime throws(RuntimeFailure) in
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
        return try await theOne(.first) { runtime throws(RuntimeFailure) in
            try await runtime.stop(id, graceSeconds: graceSeconds, asking: ordinary, before: deadline)
        }
    }

    /// What the one runtime says that knows the container.
    private func theOne<Value: Sendable>(
        _ quorum: Quorum, _ question: @escaping @Sendable (any ContainerRuntime) async throws(RuntimeFailure) -> Value
    ) async throws(RuntimeFailure) -> Value {
        let replies = await askPresent(quorum, question)
        var found: Value?
        var failure: RuntimeFailure?
        for reply in replies {
            switch reply.result {
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
        throw failure ?? (replies.isEmpty ? absence : .notFound)
    }

    private func pods(
        matching selector: PodSelector?, before deadline: NIODeadline
    ) async throws(RuntimeFailure) -> [RuntimePod] {
        let replies = await askPresent(.named) { runtime throws(RuntimeFailure) in
            if let selector { return try await runtime.pods(matching: selector, before: deadline) }
            return try await runtime.pods(before: deadline)
        }
        if replies.isEmpty { throw absence }
        let isAnswered = replies.contains(where: \.isSuccess)
        var pods: [RuntimePod] = []
        for reply in replies {
            switch reply.result {
            case .success(let theirs): pods += theirs
            // It is told of as unreachable where its own containers are asked for.
            case .failure where isAnswered && reply.place.isGuess: continue
            case .failure(let failure): throw failure
            }
        }
        return pods
    }

    private func statuses(before deadline: NIODeadline) async -> [RuntimeStatus] {
        let found = await withTaskGroup(of: (Int, RuntimeStatus.Availability).self) { group in
            for (index, source) in sources.enumerated() {
                group.addTask { (index, await availability(of: source, before: deadline)) }
            }
            var found: [(Int, RuntimeStatus.Availability)] = []
            for await one in group { found.append(one) }
            return found.sorted { $0.0 < $1.0 }.map(\.1)
        }
        let isServed = found.contains { if case .available = $0 { true } else { false } }
        return zip(sources, found).map { source, availability in
            if case .unreachable(let reason) = availability, isServed, source.place.isGuess {
                return RuntimeStatus(socket: source.place.path, availability: .dispensable(reason: reason))
            }
            return RuntimeStatus(socket: source.place.path, availability: availability)
        }
    }

    private func availability(of source: Source, before deadline: NIODeadline) async -> RuntimeStatus.Availability {
        guard source.place.isPresent(hidden) else {
            return source.place.isNamed ? .unreachable(reason: "there is no socket") : .absent
        }
        do throws(RuntimeFailure) {
            return try await source.runtime.version(before: deadline)
        } catch {
            return isNone(error, at: source.place) ? .absent : .unreachable(reason: error.reason)
        }
    }

    private var absence: RuntimeFailure {
        .unreachable(reason: "no socket at \(sources.map(\.place.path).joined(separator: ", "))")
    }

    /// Docker's containerd mostly comes with its CRI turned off, and a daemon that was stopped leaves its socket: as if there
    /// were none, unless it was named.
    private func isNone(_ failure: RuntimeFailure, at place: RuntimePlace) -> Bool {
        if case .unserved = failure { return !place.isNamed }
        return false
    }

    /// Each once: on many nodes `/var/run` is `/run`.
    private var present: [Source] {
        var seen: Set<[UInt64]> = []
        return sources.filter { source in
            var facts = stat()
            guard stat(source.place.path, &facts) == 0 else { return source.place.isPresent(hidden) }
            return seen.insert([UInt64(facts.st_dev), UInt64(facts.st_ino)]).inserted
        }
    }

    /// What those say that are there, in the order of their sockets. Who is not waited for any more has its question taken
    /// back, and fails.
    private func askPresent<Value: Sendable>(
        _ quorum: Quorum, _ body: @escaping @Sendable (any ContainerRuntime) async throws(RuntimeFailure) -> Value
    ) async -> [Reply<Value>] {
        let asked = present
        let replies = await withTaskGroup(of: Event<Value>.self) { group in
            for (index, source) in asked.enumerated() {
                group.addTask { .answered(index, await reply(of: source, to: body)) }
            }
            var replies: [Int: Reply<Value>] = [:]
            var isHurried = false
            while replies.count < asked.count, let event = await group.next() {
                switch event {
                case .answered(let index, let reply): replies[index] = reply
                case .graceOver: group.cancelAll()
                }
                switch quorum {
                case .first:
                    if replies.values.contains(where: { knowsContainer($0.result) }) { group.cancelAll() }
                case .named:
                    let left = asked.indices.filter { replies[$0] == nil }.map { asked[$0].place }
                    guard !isHurried, !left.isEmpty, left.allSatisfy(\.isGuess),
                        replies.values.contains(where: \.isSuccess)
                    else { continue }
                    isHurried = true
                    group.addTask {
                        await pause(Self.grace)
                        return .graceOver
                    }
                }
            }
            group.cancelAll()
            return replies
        }
        return replies.sorted { $0.key < $1.key }.map(\.value).filter { reply in
            if case .failure(let failure) = reply.result { return !isNone(failure, at: reply.place) }
            return true
        }
    }

    private func reply<Value: Sendable>(
        of source: Source, to body: @Sendable (any ContainerRuntime) async throws(RuntimeFailure) -> Value
    ) async -> Reply<Value> {
        do throws(RuntimeFailure) {
            return Reply(place: source.place, result: .success(try await body(source.runtime)))
        } catch {
            return Reply(place: source.place, result: .failure(error))
        }
    }

    private func knowsContainer<Value>(_ result: Result<Value, RuntimeFailure>) -> Bool {
        switch result {
        case .success, .failure(.notRunning), .failure(.unconfirmed): true
        case .failure(.notFound), .failure(.unreachable), .failure(.refused), .failure(.ambiguous),
            .failure(.unserved):
            false
        }
    }

    /// On the event loop, so that it takes no other thread.
    private func pause(_ time: TimeAmount) async {
        let over = loop.makePromise(of: Void.self)
        let timer = loop.scheduleTask(in: time) { over.succeed() }
        await withTaskCancellationHandler {
            // It never fails.
            try? await over.futureResult.get()
        } onCancel: {
            timer.cancel()
            over.succeed()
        }
    }
}

extension RuntimePlace {
    /// Whether there is a socket, or something that hides whether there is.
    ///
    /// The corresponding system call is `stat(2)`.
    fileprivate func isPresent(_ hidden: HiddenSockets) -> Bool {
        var facts = stat()
        if stat(path, &facts) == 0 { return true }
        switch (errno, language, hidden) {
        case (ENOENT, _, _), (ENOTDIR, _, _), (EACCES, .docker, .none): return false
        default: return true
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
