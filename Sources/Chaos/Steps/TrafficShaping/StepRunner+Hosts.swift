import ChaosModel
import Dispatch
import Filesystems
import LinuxSystem
import Namespaces
import NameResolution
import Processes
import Targets
import WorkerProtocol

/// A worker on its way to the thread that listens to it.
private final class Asked: Sendable {
    let worker: Worker

    init(_ worker: consuming Worker) { self.worker = worker }
}

/// What became of each name that was looked up.
struct HostLookup: Sendable {
    fileprivate(set) var found: [HostName: [IPNetwork]] = [:]
    /// Why a name has no address.
    fileprivate(set) var missing: [HostName: String] = [:]
    /// Name servers that could not be asked, or did not answer, so that another time may tell more.
    fileprivate(set) var isIncomplete = false
}

/// Names are looked up as the target does it: by its files `/etc/hosts` and `/etc/resolv.conf`, from within its network. What
/// servers answer is read by a worker without any right, which has nothing but a socket to each of them.
extension StepRunner {
    private static let longestFile = 1 << 16
    private static let nameServerPort: UInt16 = 53
    /// More of one name are not taken.
    private static let mostAddresses = 32
    /// What the worker gives itself, and a little for it to start.
    private static let lookupPatience = WorkerTask.lookupLimit + .seconds(3)

    /// The layer, with what addresses its hosts have now.
    ///
    /// - Throws: `field-invalid` when a name has none, or none but of those that are never hit; `target-unresolvable` when
    ///   nobody answers.
    func found(
        _ layer: TrafficLayer, excluding base: TrafficBase, on target: ResolvedTarget
    ) async throws(Problem) -> TrafficLayer {
        guard let hosts = layer.filter.hosts else { return layer }
        let lookup: HostLookup
        do throws(StepError) {
            lookup = try await lookUp(hosts.names, on: target)
        } catch {
            throw Problem(
                .targetUnresolvable, "the target's names cannot be looked up: \(error)",
                field: "parameters.destinationHosts")
        }
        for name in hosts.names {
            guard let addresses = lookup.found[name] else {
                throw Problem(
                    lookup.isIncomplete ? .targetUnresolvable : .fieldInvalid,
                    "\(name) has no address for the target: \(lookup.missing[name] ?? "nobody knows it")",
                    field: "parameters.destinationHosts")
            }
            let excluded = addresses.compactMap(base.exclusion)
            if let first = excluded.first, excluded.count == addresses.count {
                throw Problem(
                    .fieldInvalid, "\(name) is \(first.network), \(first.role.words), which no fault hits",
                    field: "parameters.destinationHosts")
            }
        }
        return layer.found(at: lookup.found)
    }

    func lookUp(_ names: [HostName], on target: ResolvedTarget) async throws(StepError) -> HostLookup {
        guard let process = target.facts.process?.id else {
            throw StepError("it is a cgroup, which has no files that say whom to ask")
        }
        let files: (hosts: String?, configuration: String?)
        do throws(SystemCallError) {
            files = try await inTime(on: "/etc/resolv.conf") { () throws(SystemCallError) in
                let hosts = try beginningOfFile(at: "/etc/hosts", seenBy: process, atMost: Self.longestFile)
                let configuration = try beginningOfFile(
                    at: "/etc/resolv.conf", seenBy: process, atMost: Self.longestFile)
                return (hosts, configuration)
            }
        } catch {
            throw StepError("\(error)")
        }
        guard target.isRunning else { throw StepError("it has ended") }
        var lookup = HostLookup()
        let table = HostsFile(files.hosts ?? "")
        for name in names {
            let addresses = table.addresses(of: name.description).compactMap(IPNetwork.init(text:))
            if !addresses.isEmpty { lookup.found[name] = Array(addresses.prefix(Self.mostAddresses)) }
        }
        let rest = names.filter { lookup.found[$0] == nil }
        if !rest.isEmpty {
            try await ask(rest, by: ResolverConfiguration(files.configuration ?? ""), on: target, into: &lookup)
        }
        return lookup
    }

    private func ask(
        _ names: [HostName], by configuration: ResolverConfiguration, on target: ResolvedTarget,
        into lookup: inout HostLookup
    ) async throws(StepError) {
        let sockets = try openSockets(to: configuration.nameServers, on: target)
        let asked = Asked(
            try spawn(
                .lookUp(
                    names: names.map { configuration.candidates(for: $0.description) }, servers: sockets.raw.count),
                with: sockets, on: target))
        let answers: [WorkerMessage]
        do throws(SystemCallError) {
            answers = try await inTime(atMost: Self.lookupPatience + .seconds(1), on: "the target's name servers") {
                () throws(SystemCallError) in
                let answers = try asked.worker.answers(names.count, atMost: Self.lookupPatience)
                _ = try asked.worker.process.kill(waitingAtMost: .seconds(1))
                _ = try asked.worker.process.reap()
                return answers
            }
        } catch {
            throw StepError("\(error)")
        }
        for answer in answers {
            switch answer {
            case .found(let index, let texts) where names.indices.contains(index):
                let addresses = texts.prefix(Self.mostAddresses).compactMap(IPNetwork.init(text:))
                if !addresses.isEmpty { lookup.found[names[index]] = addresses }
            case .missing(let index, let isCertain, let reason) where names.indices.contains(index):
                lookup.missing[names[index]] = reason
                if !isCertain { lookup.isIncomplete = true }
            case .failed(let reason): throw StepError("the worker that looks them up failed: \(reason)")
            default: throw StepError("the worker that looks them up said what no such worker says")
            }
        }
        if answers.count < names.count { lookup.isIncomplete = true }
    }

    private func openSockets(to servers: [String], on target: ResolvedTarget) throws(StepError) -> WorkerSockets {
        let addresses = servers.compactMap(IPNetwork.init(text:)).map {
            InternetAddress(bytes: $0.address, port: Self.nameServerPort)
        }
        let sockets: WorkerSockets?
        do throws(NamespaceEntryError<SystemCallError>) {
            sockets = try target.withNetworkNamespace { (namespace) throws(NamespaceEntryError<SystemCallError>) in
                try thread.run(inNetworkNamespaceOf: namespace) { () throws(SystemCallError) in
                    WorkerSockets(toAnyOf: addresses, over: .udp)
                }
            }
        } catch {
            throw StepError("\(error)")
        }
        guard let sockets else { throw Self.withoutNetwork }
        if sockets.raw.isEmpty {
            throw StepError(
                "no way leads to its name servers \(servers.map(\.debugDescription).joined(separator: ", "))")
        }
        return sockets
    }

    /// Where this engine is, and in the target's network: what becomes of the target's cgroup does not concern it.
    private func spawn(
        _ task: WorkerTask, with sockets: WorkerSockets, on target: ResolvedTarget
    ) throws(StepError) -> Worker {
        guard let workerProgram else { throw StepError("the worker's program could not be read") }
        let order = WorkerOrder(
            session: "lookup", deadline: (.now + Self.lookupPatience).nanoseconds, task: task)
        let worker = try target.withNetworkNamespace { (namespace) throws(StepError) in
            let network = namespace.descriptor.rawValue
            do throws(WorkerStartError) {
                return try spawner.run { () throws(WorkerStartError) in
                    try Worker(order, running: workerProgram, files: sockets.raw, network: network)
                }
            } catch {
                throw StepError("\(error)")
            }
        }
        guard let worker else { throw Self.withoutNetwork }
        return worker
    }
}

/// Looks a session's hosts up again, as long as it is held.
final class Lookups {
    fileprivate let timer: any DispatchSourceTimer
    fileprivate let target: ResolvedTarget
    fileprivate let news: @Sendable (StepNews) -> Void
    fileprivate var isUnderWay = false
    /// What went wrong last, which is told once.
    fileprivate var complaint: String?

    fileprivate init(
        _ timer: any DispatchSourceTimer, for target: ResolvedTarget, news: @escaping @Sendable (StepNews) -> Void
    ) {
        self.timer = timer
        self.target = target
        self.news = news
    }

    fileprivate func complain(_ words: String?) {
        if let words, words != complaint { news(.hosts(words)) }
        complaint = words
    }

    deinit { timer.cancel() }
}

extension StepRunner {
    /// How long what was found counts.
    private static let lookupInterval = Duration.seconds(60)

    func lookAgain(
        for session: SessionID, in network: ShapedNetwork, on target: ResolvedTarget,
        news: @escaping @Sendable (StepNews) -> Void
    ) {
        let timer = DispatchSource.makeTimerSource(queue: executor.queue)
        let lookups = Lookups(timer, for: target, news: news)
        timer.schedule(
            deadline: .now() + Self.lookupInterval.seconds, repeating: Self.lookupInterval.seconds, leeway: .seconds(1))
        nonisolated(unsafe) weak let held = lookups
        nonisolated(unsafe) weak let shaped = network
        timer.setEventHandler { [weak self] in
            self?.assumeIsolated { runner in
                guard let lookups = held, let network = shaped, !lookups.isUnderWay else { return }
                lookups.isUnderWay = true
                Task { await runner.lookUpAgain(for: session, in: network, lookups) }
            }
        }
        timer.resume()
        network.lookups[session] = lookups
    }

    /// A host that cannot be found now keeps the addresses that it had.
    private func lookUpAgain(for session: SessionID, in network: ShapedNetwork, _ lookups: Lookups) async {
        defer { lookups.isUnderWay = false }
        guard let names = network.layers[session]?.filter.hosts?.names else { return }
        let lookup: HostLookup
        do throws(StepError) {
            lookup = try await lookUp(names, on: lookups.target)
        } catch {
            return lookups.complain("names could not be looked up again: \(error)")
        }
        // It may have ended meanwhile.
        guard network.lookups[session] === lookups, let layer = network.layers[session],
            let known = layer.filter.hosts?.addresses
        else { return }
        lookups.complain(lookup.missing.map { "\($0) keeps its addresses: \($1)" }.min())
        let moved = lookup.found.filter { Set(known[$0] ?? []) != Set($1) }
        if moved.isEmpty { return }
        let words = moved.map { "\($0) is now \($1.map(\.description).joined(separator: ", "))" }.sorted()
            .joined(separator: "; ")
        do throws(StepError) {
            try change(layer.found(at: known.merging(moved) { $1 }), of: session, in: network)
            lookups.news(.hosts(words))
        } catch {
            lookups.complain("\(words), which cannot be followed: \(error)")
        }
    }
}
