import ChaosModel
import DeadMan
import Dispatch
import LinuxSystem
package import Namespaces
package import Netlink
import Targets

/// One network namespace with the layers of every session in it.
final class ShapedNetwork: Entrusted {
    let shaper: TrafficShaper
    let base: TrafficBase
    var layers: [SessionID: TrafficLayer] = [:]
    var deadlines: [SessionID: BootInstant] = [:]
    /// A socket for the dead-man's process, and what is entrusted to it.
    var standby: NetlinkSocket?
    let tag: UInt64
    var slot: DeadMansProcess.Slot?
    /// What somebody else was found to have changed, until the last layer goes. The first few of it: who fights with us
    /// does so with every change.
    private(set) var drift: [String] = []
    private static let mostDrift = 8
    /// Packets of each session, as far as they were counted when last looked at.
    var counted: [SessionID: (packets: Int64, dropped: Int64)] = [:]
    /// What each ifb had counted then, by its number.
    private var seen: [Int32: (packets: UInt32, dropped: UInt32)] = [:]
    /// Of the sessions that name hosts, as long as these are looked up again and again.
    var lookups: [SessionID: Lookups] = [:]
    /// When the queues began to drain.
    var drainingSince: BootInstant?
    /// While ifbs are deleted elsewhere, who waits for that: nobody else touches the namespace then.
    private var waitingForDeletion: [CheckedContinuation<Void, Never>]?

    init(_ facts: TargetFacts.NetworkNamespace, shaper: TrafficShaper, base: TrafficBase) {
        self.shaper = shaper
        self.base = base
        self.tag = facts.tag
    }

    func wasTakenBack() { shaper.forget() }

    var isBeingDeletedFrom: Bool { waitingForDeletion != nil }

    func beginDeletion() { waitingForDeletion = [] }

    func endDeletion() {
        let waiting = waitingForDeletion ?? []
        waitingForDeletion = nil
        for each in waiting { each.resume() }
    }

    func untilNothingIsDeleted(_ isolation: isolated (any Actor)? = #isolation) async {
        while isBeingDeletedFrom { await withCheckedContinuation { waitingForDeletion?.append($0) } }
    }

    func note(drift found: [String]) {
        drift += found.prefix(max(0, Self.mostDrift - drift.count))
    }

    /// Counts what went through since the last time. The kernel counts in 32 bits, for each set of sessions that meet.
    func count() throws(TrafficError) {
        for count in try shaper.counts(of: layers) {
            let before = seen[count.interface] ?? (0, 0)
            seen[count.interface] = (count.packets, count.dropped)
            for session in count.sessions {
                let sum = counted[session] ?? (0, 0)
                counted[session] = (
                    sum.packets + Int64(count.packets &- before.packets),
                    sum.dropped + Int64(count.dropped &- before.dropped)
                )
            }
        }
    }
}

extension TrafficLayer {
    /// As a person would say it.
    var summary: String {
        var parts: [String] = []
        if impairment.latency > .zero {
            parts.append(
                "delay by \(impairment.latency.text)"
                    + (impairment.jitter > .zero ? " ± \(impairment.jitter.text)" : "")
                    + (impairment.correlation.map { ", correlated \($0)" } ?? ""))
        }
        parts += impairment.spreads.map(\.description)
        parts += impairment.bursts.map { "lose \($0)" }
        for (verb, chance) in [
            ("lose", impairment.loss), ("damage", impairment.corruption), ("send twice", impairment.duplication),
        ] {
            guard let chance else { continue }
            parts.append("\(verb) \(chance.percent)" + (chance.correlation.map { ", correlated \($0)" } ?? ""))
        }
        if let rate = impairment.rate { parts.append("hold to \(rate)") }
        let words =
            switch direction {
            case .egress, .ingress: direction.rawValue
            case .both: "egress and ingress"
            }
        let which = filter == .everything ? "" : " (\((direction == .ingress ? boxes : filter.boxes).summary))"
        return "\(words) traffic\(which): " + parts.joined(separator: "; ")
    }
}

extension StepRunner {
    /// How long packets that wait in a queue of ours may take to leave it before it is deleted with them.
    private static let drainPatience = Duration.seconds(2)

    func prepareShaping(_ asked: TrafficLayer, on target: ResolvedTarget) async throws(Problem) -> Intent {
        guard let facts = target.facts.network else {
            throw Problem(.targetRefused, "the target has no network namespace", field: "target")
        }
        try refuseCgroupOfPackets(asked.filter.cgroup, in: facts)
        let base: TrafficBase
        if let network = networks[facts] {
            // Only the first layer sees what was there before; the others take it from the first.
            base = network.base
        } else {
            do {
                guard let endpoints else { throw StepError("nobody knows who must not be hit") }
                base = try openShaper(of: target).observe(excluding: endpoints.current())
            } catch {
                throw Problem(.targetRefused, "the target's network cannot be shaped: \(error)", field: "target")
            }
        }
        if let named = asked.filter.given.lazy.compactMap(\.destination).compactMap(base.exclusion).first {
            throw Problem(
                .fieldInvalid, "\(named.network) is \(named.role.words), which no fault hits",
                field: "parameters.destinationIPs", hint: "leave it out, and whatever lies in it")
        }
        let layer = try await found(try sparing(asked, on: target), excluding: base, on: target)
        let stray: String?
        do throws(StepError) {
            stray = try strayInterface(of: layer, base, on: target)
        } catch {
            throw Problem(.targetRefused, "the target's network cannot be shaped: \(error)", field: "target")
        }
        if let stray {
            throw Problem(
                .fieldInvalid, "the target has no interface \(stray) that could be hit", field: "parameters.interfaces",
                hint: "it has \(base.interfaces.map(\.name).joined(separator: ", "))")
        }
        switch obstacle(to: layer, in: networks[facts], over: base) {
        case nil: break
        case .limit(let words):
            throw Problem(
                .limitExceeded, "with what is in the target's network already this makes \(words)",
                field: "parameters",
                hint: "name one of the interfaces, fewer destinations or ports, or wait until another session has ended"
            )
        case .contradiction(let words):
            throw Problem(
                .targetBusy, "with what is in the target's network already this makes \(words)", field: "parameters",
                hint: "name other packets, or wait until the other session has ended")
        }
        return .shapeTraffic(layer, in: facts, base: base)
    }

    /// On the node's own network a layer that is about no single cgroup's packets is about everybody's: it spares those by
    /// which the node and the agent are reached.
    ///
    /// - Throws: `field-invalid` for a filter that is about them.
    private func sparing(_ layer: TrafficLayer, on target: ResolvedTarget) throws(Problem) -> TrafficLayer {
        guard target.isOnHostNetwork, layer.filter.cgroup == nil else { return layer }
        guard let spared = endpoints?.spared else {
            throw Problem(.targetRefused, "nobody knows who must not be hit", field: "target")
        }
        let boxes = layer.filter.anywhere
        for each in spared where !each.use.canBeNamed {
            guard let named = boxes.first(where: each.contains) else { continue }
            throw Problem(
                .fieldInvalid,
                "\(Set([each]).words(among: [named]).joined()) is never hit with the whole host: it could be reached no more",
                field: each.box.destinationPorts == nil || named.destinationPorts == nil
                    ? "parameters.sourcePorts" : "parameters.destinationPorts",
                hint: "leave it out")
        }
        return layer.sparing(spared.filter { !$0.use.canBeNamed || !$0.isNamed(by: layer.filter) })
    }

    /// - Throws: `fault-unsupported` where packets of one cgroup cannot be told from others, `limit-exceeded` when those of
    ///   so many are told already.
    private func refuseCgroupOfPackets(
        _ cgroup: TargetFacts.Cgroup?, in facts: TargetFacts.NetworkNamespace
    ) throws(Problem) {
        guard let cgroup else { return }
        guard classifiers(in: facts) != nil else {
            throw Problem(
                .faultUnsupported,
                "the target is on the node's own network, and this node cannot tell its packets from others",
                field: "target", hint: "squall doctor says why not (host-traffic)")
        }
        let others = Set(networks[facts]?.layers.values.compactMap(\.filter.cgroup) ?? [])
        if others.union([cgroup]).count > CgroupClassifiers.most {
            throw Problem(
                .limitExceeded,
                "the packets of \(others.count) cgroups on the node's own network are hit already, which are the most",
                hint: "wait until a session has ended")
        }
    }

    /// Nil everywhere but in the node's own network, where the packets of everybody meet.
    private func classifiers(in facts: TargetFacts.NetworkNamespace) -> CgroupClassifiers? {
        hostTraffic.flatMap { $0.network == facts.inode ? $0.classifiers : nil }
    }

    /// One that the layer names and that is not, or not any more, what the base calls so.
    private func strayInterface(
        of layer: TrafficLayer, _ base: TrafficBase, on target: ResolvedTarget
    ) throws(StepError) -> String? {
        let named = Set(layer.filter.boxes.compactMap(\.interface)).sorted()
        if named.isEmpty { return nil }
        let now: [TrafficBase.Interface]
        let shaper = try openShaper(of: target)
        do throws(TrafficError) {
            now = try shaper.interfaces()
        } catch {
            throw StepError("\(error)")
        }
        return named.first { name in
            guard let interface = base.interfaces.first(where: { $0.name == name }) else { return true }
            return !now.contains { $0.name == name && $0.index == interface.index }
        }
    }

    private func obstacle(
        to layer: TrafficLayer, in network: ShapedNetwork?, over base: TrafficBase
    ) -> TrafficComposition.Obstacle? {
        let others = network.map { Array($0.layers.values) } ?? []
        return TrafficComposition.obstacle(to: others + [layer], over: base)
    }

    func shape(
        _ facts: TargetFacts.NetworkNamespace, with layer: TrafficLayer, over base: TrafficBase,
        for session: SessionID, on target: ResolvedTarget, until deadline: BootInstant,
        news: @escaping @Sendable (StepNews) -> Void
    ) async throws(StepError) {
        await untilNothingIsDeleted(from: facts)
        let network: ShapedNetwork
        if let known = networks[facts] {
            network = known
        } else {
            network = self.network(facts, through: try openSocket(of: target), base: base)
            networks[facts] = network
        }
        if network.standby == nil { network.standby = try openSocket(of: target) }
        // Another session may have begun since this one was planned.
        if let obstacle = obstacle(to: layer, in: network, over: network.base) {
            throw StepError("with what is in the target's network by now this makes \(obstacle.words)")
        }
        if let stray = try strayInterface(of: layer, network.base, on: target) {
            throw StepError("the target has no interface \(stray) any more")
        }
        // What the present ifbs have counted would go with them.
        try? network.count()
        network.layers[session] = layer
        network.deadlines[session] = deadline
        network.drainingSince = nil
        if layer.filter.hosts != nil { lookAgain(for: session, in: network, on: target, news: news) }
        _ = claim(network)
        try entrust(network, target: target.processDescriptor)
        let refusal: String
        do throws(TrafficError) {
            try settle(network)
            let differences = try network.shaper.verify(network.layers, base: network.base)
            if differences.isEmpty, handOver(network) { return }
            refusal =
                "the kernel does not show what was asked of it: "
                + (differences.isEmpty
                    ? "this took so long that it was taken back" : differences.joined(separator: "; "))
        } catch {
            refusal = "\(error)"
        }
        throw StepError(refusal)
    }

    /// Puts another layer in the place of one that is in effect. Where that fails, the one that was there stays. False when
    /// it was overdue, and is out.
    func change(_ layer: TrafficLayer, of session: SessionID, in network: ShapedNetwork) throws(StepError) -> Bool {
        guard let before = network.layers[session] else { return false }
        let others = network.layers.filter { $0.key != session }.map(\.value)
        if let obstacle = TrafficComposition.obstacle(to: others + [layer], over: network.base) {
            throw StepError("with what is in the target's network by now this makes \(obstacle.words)")
        }
        if let first = network.deadlines.values.min(), .now > first + Self.grace { return false }
        guard claim(network) else { return false }
        try? network.count()
        network.layers[session] = layer
        let refusal: String
        do {
            try entrust(network, target: nil)
            try settle(network)
            let differences = try network.shaper.verify(network.layers, base: network.base)
            if differences.isEmpty { return handOver(network) }
            refusal = differences.joined(separator: "; ")
        } catch {
            refusal = "\(error)"
        }
        network.layers[session] = before
        do throws(TrafficError) {
            try settle(network)
        } catch {
            _ = handOver(network)
            throw StepError("\(refusal); nor could what was there be put back: \(error)")
        }
        _ = handOver(network)
        throw StepError(refusal)
    }

    func unshape(
        _ facts: TargetFacts.NetworkNamespace, base: TrafficBase, for session: SessionID
    ) async -> UndoProgress {
        var wasTakenBack = false
        var rounds = 0
        while rounds < Self.deletionRounds {
            await untilNothingIsDeleted(from: facts)
            // Another session's end may have seen to the rest.
            if rounds > 0, networks[facts] == nil { return .done(wasTakenBack ? .alreadyRestored : .restored) }
            guard let queue = deletions.take() else {
                await deletions.untilOneIsIdle()
                continue
            }
            defer { deletions.giveBack(queue) }
            switch takeOut(session, from: facts, base: base, &wasTakenBack) {
            case .progress(let progress): return progress
            case .leaves(let links, let network):
                rounds += 1
                do throws(TrafficError) {
                    try await delete(links, from: network, on: queue)
                } catch {
                    return .done(.failed("\(error)"))
                }
            }
        }
        return .done(.failed("somebody else makes the interfaces anew that are deleted"))
    }

    /// One is enough, unless somebody else is at work, too.
    private static let deletionRounds = 12

    private enum TakingOut {
        case progress(UndoProgress)
        /// These are to be deleted: then look again.
        case leaves([Int32], ShapedNetwork)
    }

    private func takeOut(
        _ session: SessionID, from facts: TargetFacts.NetworkNamespace, base: TrafficBase, _ wasTakenBack: inout Bool
    ) -> TakingOut {
        do {
            guard let network = try networks[facts] ?? reopen(facts, base: base) else {
                // The namespace went, and everything in it.
                return .progress(.done(.alreadyRestored))
            }
            networks[facts] = network
            if network.layers[session] != nil { try? network.count() }
            network.layers[session] = nil
            network.deadlines[session] = nil
            network.counted[session] = nil
            network.lookups[session] = nil
            if !claim(network) { wasTakenBack = true }
            // Others in the namespace go on. Whether they can be entrusted to anybody must not keep this one in effect.
            if network.slot == nil, !network.layers.isEmpty { try? entrust(network, target: nil) }
            switch try converge(network, leavesLinks: true) {
            case .settled: break
            case .draining(let retry): return .progress(.unfinished(callAgainAfter: retry))
            case .leaves(let links): return .leaves(links, network)
            }
            let left = try network.shaper.verify(network.layers, base: network.base)
            if !left.isEmpty { return .progress(.done(.failed("still there: \(left.joined(separator: "; "))"))) }
            if network.layers.isEmpty {
                letGo(network)
                networks[facts] = nil
            } else if !entrustRest(of: network) {
                // This took so long that everything was taken out, also what others have there.
                return .progress(.unfinished(callAgainAfter: .milliseconds(1)))
            }
            if wasTakenBack, network.drift.isEmpty { return .progress(.done(.alreadyRestored)) }
            let outcome: UndoOutcome =
                network.drift.isEmpty ? .restored : .drifted(found: network.drift.joined(separator: "; "))
            return .progress(.done(outcome))
        } catch {
            return .progress(.done(.failed("\(error)")))
        }
    }

    /// Everybody else goes on meanwhile, but for those who are in the same namespace.
    private func delete(
        _ links: [Int32], from network: ShapedNetwork, on queue: DispatchQueue
    ) async throws(TrafficError) {
        network.beginDeletion()
        defer { network.endDeletion() }
        nonisolated(unsafe) let shaper = network.shaper
        try await withCheckedContinuation { continuation in
            queue.async {
                continuation.resume(
                    returning: Result { () throws(TrafficError) in try shaper.delete(links: links) })
            }
        }.get()
    }

    func untilNothingIsDeleted(from facts: TargetFacts.NetworkNamespace) async {
        while let network = networks[facts], network.isBeingDeletedFrom { await network.untilNothingIsDeleted() }
    }

    func trafficEffect(in facts: TargetFacts.NetworkNamespace, of session: SessionID) async -> Effect? {
        await untilNothingIsDeleted(from: facts)
        guard let network = networks[facts], case .success = Result(catching: network.count) else { return nil }
        let counted = network.counted[session] ?? (0, 0)
        return .traffic(packets: counted.packets, dropped: counted.dropped)
    }

    /// Makes the kernel show the network's layers.
    private func converge(_ network: ShapedNetwork, leavesLinks: Bool) throws(TrafficError) -> TrafficOutcome {
        let since = network.drainingSince ?? .now
        network.drainingSince = since
        let outcome = try network.shaper.converge(
            to: network.layers, from: network.base, giveUpDraining: .now - since > Self.drainPatience,
            leavesLinks: leavesLinks)
        if case .settled(let drift) = outcome {
            network.drainingSince = nil
            network.note(drift: drift)
        }
        return outcome
    }

    /// The same, and sees to the queues that drain: the layers are in effect without them.
    private func settle(_ network: ShapedNetwork) throws(TrafficError) {
        guard case .draining(let retry) = try converge(network, leavesLinks: false) else { return }
        nonisolated(unsafe) let network = network
        executor.queue.asyncAfter(deadline: DispatchTime.now() + retry.seconds) { [weak self] in
            self?.assumeIsolated { runner in
                // Nobody's any more, another's by now, or seen to by a session that ends; and what was overdue stays out.
                guard runner.networks.values.contains(where: { $0 === network }), !network.isBeingDeletedFrom,
                    runner.claim(network)
                else { return }
                // What fails here is found, and told, when the next layer goes.
                try? runner.settle(network)
                _ = runner.handOver(network)
            }
        }
    }

    // MARK: What the dead-man's process is to do

    /// Entrusts whatever may be in the namespace from now on: call it under our claim, if there is a slot.
    private func entrust(_ network: ShapedNetwork, target: Int32?) throws(StepError) {
        guard let deadMan, let standby = network.standby else { return }
        let program = network.shaper.teardown(including: network.layers, base: network.base)
        let overdue = (network.deadlines.values.min() ?? .now) + Self.grace
        do throws(DeadMansError) {
            if let slot = network.slot {
                network.slot = try deadMan.replace(slot, with: program, deadline: overdue)
            } else {
                network.slot = try deadMan.entrust(
                    program, tag: network.tag, files: [standby.rawValue], target: target, deadline: overdue)
            }
        } catch {
            throw StepError("\(error)")
        }
    }

    /// Hands over what others still have in the namespace. False when it was all taken out meanwhile.
    private func entrustRest(of network: ShapedNetwork) -> Bool {
        guard network.slot != nil else { return true }
        guard claim(network) else { return false }
        // As it was entrusted before, it is right too: only more, and sooner, than need be.
        try? entrust(network, target: nil)
        return handOver(network)
    }

    // MARK: Sockets

    func openShaper(of target: ResolvedTarget) throws(StepError) -> TrafficShaper {
        TrafficShaper(try openSocket(of: target))
    }

    private func openSocket(of target: ResolvedTarget) throws(StepError) -> NetlinkSocket {
        let socket = try target.withNetworkNamespace { (namespace) throws(StepError) in
            try Self.openSocket(in: namespace, on: thread)
        }
        guard let socket else { throw StepError("the target has no network namespace") }
        return socket
    }

    /// Nil when the namespace is gone.
    private func reopen(_ facts: TargetFacts.NetworkNamespace, base: TrafficBase) throws(StepError) -> ShapedNetwork? {
        let namespace: NamespaceHandle?
        do throws(SystemCallError) {
            namespace = try thread.findNetworkNamespace(inode: facts.inode, cookie: facts.cookie)
        } catch {
            throw StepError("\(error)")
        }
        guard let namespace else { return nil }
        return network(facts, through: try Self.openSocket(in: namespace, on: thread), base: base)
    }

    private func network(
        _ facts: TargetFacts.NetworkNamespace, through socket: NetlinkSocket, base: TrafficBase
    ) -> ShapedNetwork {
        ShapedNetwork(facts, shaper: TrafficShaper(socket, classifiers: classifiers(in: facts)), base: base)
    }

    /// It is opened inside the namespace and keeps it; it is used from here on wherever the runner runs.
    private static func openSocket(
        in namespace: borrowing NamespaceHandle, on thread: NamespaceThread
    ) throws(StepError) -> NetlinkSocket {
        do throws(NamespaceEntryError<NetlinkError>) {
            return try thread.run(inNetworkNamespaceOf: namespace) { () throws(NetlinkError) in try NetlinkSocket() }
        } catch {
            throw StepError("\(error)")
        }
    }
}

extension StepRunner {
    /// Shapes loopback in a namespace that nobody uses, and takes it back: whether this kernel can.
    ///
    /// - Parameter classifiers: With them, what one cgroup sends.
    package static func probeShaping(
        in namespace: borrowing NamespaceHandle, on thread: NamespaceThread, _ classifiers: CgroupClassifiers? = nil
    ) throws(StepError) {
        let shaper = TrafficShaper(try openSocket(in: namespace, on: thread), classifiers: classifiers)
        let loopback = TrafficBase(
            interfaces: [.init(index: 1, name: "lo", hadClsact: false, transmitQueueLength: 1000)])
        let everything = TrafficFilter.everything
        let filter = classifiers == nil ? everything : everything.of(TargetFacts.Cgroup(path: "/probe", id: 1))
        let layer = TrafficLayer(filter: filter, impairment: TrafficImpairment(latency: .milliseconds(1)))
        do throws(TrafficError) {
            _ = try shaper.converge(to: [.random(): layer], from: loopback, giveUpDraining: true)
            _ = try shaper.converge(to: [:], from: loopback, giveUpDraining: true)
        } catch {
            throw StepError("\(error)")
        }
    }
}
