import ChaosModel
import Dispatch
import Filesystems
import LinuxSystem
import NameResolution
import Namespaces
import Processes
import Targets
import WorkerProtocol

/// What became of each name that was looked up.
struct HostLookup: Sendable {
    fileprivate(set) var found: [HostName: [IPNetwork]] = [:]
    /// Those of which servers told only the addresses of one kind.
    fileprivate(set) var partly: Set<HostName> = []
    /// Why a name has no address, and whether that is certain: otherwise another time may tell more.
    fileprivate(set) var missing: [HostName: (reason: String, isCertain: Bool)] = [:]
}

/// Names are looked up as the target does it: by its files `/etc/hosts` and `/etc/resolv.conf`, from within its network. What
/// servers answer is read by a worker without any right, which has nothing but a socket to each of them.
extension StepRunner {
    private static let longestFile = 1 << 16
    private static let nameServerPort: UInt16 = 53
    /// More of one name are not taken.
    private static let mostAddresses = 32
    /// At once: who has names looked up decides how long that takes, so they are few, and others have what they need.
    private static let mostLookups = 8
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
        if let network = target.facts.network, !hasRoomToLookUp(in: network) {
            throw Problem(
                .targetBusy, "names are being looked up already, for this network or for as many as may be at once",
                field: "parameters.destinationHosts", hint: "try again in a few seconds")
        }
        guard target.facts.process != nil else {
            throw Problem(
                .targetRefused, "the target is a cgroup, which has no files that say whom to ask for names",
                field: "target", hint: "name a container or a process, or the addresses")
        }
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
                let missing = lookup.missing[name]
                throw Problem(
                    missing?.isCertain == true ? .fieldInvalid : .targetUnresolvable,
                    "\(name) has no address for the target: \(missing?.reason ?? "there was no time to ask")",
                    field: "parameters.destinationHosts")
            }
            let excluded = addresses.compactMap(base.exclusion)
            if let first = excluded.first, excluded.count == addresses.count {
                throw Problem(
                    .fieldInvalid, "\(name) is \(first.network), \(first.role.words), which no fault hits",
                    field: "parameters.destinationHosts")
            }
        }
        let found = layer.found(at: lookup.found)
        if let words = Self.excess(of: found) {
            throw Problem(
                .fieldInvalid, "with the addresses of their hosts \(words)", field: "parameters.destinationHosts",
                hint: "name fewer hosts, ports or interfaces")
        }
        return found
    }

    /// What hosts have is no longer what was asked for. Nil for what may be.
    private static func excess(of layer: TrafficLayer) -> String? {
        layer.boxes.count > TrafficLayer.mostBoxes
            ? "they make \(layer.boxes.count) filters, and \(TrafficLayer.mostBoxes) are the most" : nil
    }

    private func hasRoomToLookUp(in network: TargetFacts.NetworkNamespace) -> Bool {
        lookedUp.count < Self.mostLookups && !lookedUp.contains(network)
    }

    /// - Throws: Also when as many are looked up already as may be, one in each network.
    func lookUp(_ names: [HostName], on target: ResolvedTarget) async throws(StepError) -> HostLookup {
        guard let process = target.facts.process?.id, let network = target.facts.network else {
            throw StepError("it is a cgroup, which has no files that say whom to ask")
        }
        guard hasRoomToLookUp(in: network) else { throw StepError("others are looked up just now") }
        lookedUp.insert(network)
        defer { lookedUp.remove(network) }
        let files: (hosts: HostsFile, configuration: ResolverConfiguration)
        do throws(SystemCallError) {
            files = try await inTime(on: "/etc/resolv.conf") { () throws(SystemCallError) in
                let hosts = try beginningOfFile(at: "/etc/hosts", seenBy: process, atMost: Self.longestFile)
                let configuration = try beginningOfFile(
                    at: "/etc/resolv.conf", seenBy: process, atMost: Self.longestFile)
                return (HostsFile(hosts ?? ""), ResolverConfiguration(configuration ?? ""))
            }
        } catch {
            throw StepError("\(error)")
        }
        guard target.isRunning else { throw StepError("it has ended") }
        var lookup = HostLookup()
        for name in names {
            let addresses = Self.addresses(files.hosts.addresses(of: name.description))
            if !addresses.isEmpty { lookup.found[name] = addresses }
        }
        let rest = names.filter { lookup.found[$0] == nil }
        if !rest.isEmpty { try await ask(rest, by: files.configuration, on: target, into: &lookup) }
        return lookup
    }

    private static func addresses(_ texts: [String]) -> [IPNetwork] {
        texts.prefix(mostAddresses).compactMap(IPNetwork.init(text:)).filter(\.isSingleAddress)
    }

    private func ask(
        _ names: [HostName], by configuration: ResolverConfiguration, on target: ResolvedTarget,
        into lookup: inout HostLookup
    ) async throws(StepError) {
        guard let workerProgram else { throw StepError("the worker's program could not be read") }
        let sockets = try openSockets(to: configuration.nameServers, on: target)
        let order = WorkerOrder(
            session: "lookup", deadline: (.now + Self.lookupPatience).nanoseconds,
            task: .lookUp(
                names: names.map { configuration.candidates(for: $0.description) }, servers: sockets.raw.count))
        let spawner = self.spawner
        let answers: [WorkerMessage]
        do throws(SystemCallError) {
            answers = try await inTime(atMost: Self.lookupPatience + .seconds(1), on: "the target's name servers") {
                () throws(SystemCallError) in
                // Where this engine is, and in the target's network: what becomes of the target's cgroup does not concern
                // it.
                let answers = target.withNetworkNamespace { namespace in
                    Self.answers(
                        to: order, count: names.count, sockets: sockets.raw, network: namespace.descriptor.rawValue,
                        program: workerProgram, spawner: spawner)
                }
                return answers ?? []
            }
        } catch {
            throw StepError("\(error)")
        }
        for answer in answers {
            switch answer {
            case .found(let index, let isWhole, let texts) where names.indices.contains(index):
                let addresses = Self.addresses(texts)
                if !addresses.isEmpty { lookup.found[names[index]] = addresses }
                if !isWhole { lookup.partly.insert(names[index]) }
            case .missing(let index, let isCertain, let reason) where names.indices.contains(index):
                lookup.missing[names[index]] = (reason, isCertain)
            case .failed(let reason): throw StepError("the worker that looks them up failed: \(reason)")
            default: throw StepError("the worker that looks them up said what no such worker says")
            }
        }
    }

    /// Starts a worker, listens to it, and ends it.
    private static func answers(
        to order: WorkerOrder, count: Int, sockets: [Int32], network: Int32, program: Executable,
        spawner: NamespaceThread
    ) -> [WorkerMessage] {
        do {
            let worker = try spawner.run { () throws(WorkerStartError) in
                try Worker(order, running: program, files: sockets, network: network)
            }
            let answers = Result { () throws(SystemCallError) in try worker.answers(count, atMost: lookupPatience) }
            _ = try worker.end(atMost: .seconds(5))
            return try answers.get()
        } catch {
            return [.failed(reason: "\(error)")]
        }
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
}

/// Looks a session's hosts up again, as long as it is held.
final class Lookups {
    fileprivate let timer: any DispatchSourceTimer
    fileprivate let target: ResolvedTarget
    fileprivate let news: @Sendable (StepNews) -> Void
    fileprivate var isUnderWay = false
    /// How often nothing could be found out, one time after the other, and how many turns are left out for it: what
    /// hangs must not hang ever more threads.
    fileprivate var failures = 0
    fileprivate var pause = 0
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
        timer.setEventHandler { [weak self, weak lookups, weak network] in
            guard let self, let lookups, let network else { return }
            nonisolated(unsafe) let (held, shaped) = (lookups, network)
            assumeIsolated { runner in
                if held.isUnderWay { return }
                held.pause -= 1
                if held.pause > 0 { return }
                held.isUnderWay = true
                Task { await runner.lookUpAgain(for: session, in: shaped, held) }
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
            lookups.failures = 0
        } catch {
            lookups.failures += 1
            lookups.pause = 1 << min(lookups.failures, 5)
            return lookups.complain("names could not be looked up again: \(error)")
        }
        await network.untilNothingIsDeleted()
        // It may have ended meanwhile.
        guard network.lookups[session] === lookups, let layer = network.layers[session],
            let known = layer.filter.hosts?.addresses
        else { return }
        lookups.complain(lookup.missing.map { "\($0) keeps its addresses: \($1.reason)" }.min())
        var found = lookup.found
        for name in lookup.partly {
            // Those of the kind that was not told are kept.
            let kinds = Set(found[name, default: []].map(\.isIPv4))
            found[name, default: []] += (known[name] ?? []).filter { !kinds.contains($0.isIPv4) }
        }
        let moved = found.filter { Set(known[$0] ?? []) != Set($1) }
        if moved.isEmpty { return }
        let words = moved.map { "\($0) is now \($1.map(\.description).joined(separator: ", "))" }.sorted()
            .joined(separator: "; ")
        do throws(StepError) {
            let followed = layer.found(at: known.merging(moved) { $1 })
            if let words = Self.excess(of: followed) { throw StepError(words) }
            if try change(followed, of: session, in: network) { lookups.news(.hosts(words)) }
        } catch {
            lookups.complain("\(words), which cannot be followed: \(error)")
        }
    }
}
