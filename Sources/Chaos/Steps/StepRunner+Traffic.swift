import ChaosModel
import Dispatch
import LinuxSystem
package import Namespaces
import Netlink
import Targets

/// One network namespace with the layers of every session in it.
final class ShapedNetwork {
    let shaper: TrafficShaper
    let base: TrafficBase
    var layers: [SessionID: TrafficLayer] = [:]
    /// What somebody else was found to have changed, until the last layer goes.
    var drift: [String] = []
    /// Packets of each session, as far as they were counted when last looked at.
    var counted: [SessionID: (packets: Int64, dropped: Int64)] = [:]
    /// What each ifb had counted then, by its number.
    private var seen: [Int32: (packets: UInt32, dropped: UInt32)] = [:]
    /// When the queues began to drain.
    var drainingSince: BootInstant?

    init(shaper: TrafficShaper, base: TrafficBase) {
        self.shaper = shaper
        self.base = base
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
        var text = "delay \(direction.rawValue) traffic by \(impairment.latency.text)"
        if impairment.jitter > .zero { text += " ± \(impairment.jitter.text)" }
        if let correlation = impairment.correlation { text += ", correlated \(correlation)" }
        return text
    }
}

extension StepRunner {
    /// How long packets that wait in a queue of ours may take to leave it before it is deleted with them.
    private static let drainPatience = Duration.seconds(2)

    func prepareShaping(_ layer: TrafficLayer, on target: ResolvedTarget) throws(Problem) -> Intent {
        guard let facts = target.facts.network else {
            throw Problem(.targetRefused, "the target has no network namespace", field: "target")
        }
        // Only the first layer sees what was there before; the others take it from the first.
        if let network = networks[facts] { return .shapeTraffic(layer, in: facts, base: network.base) }
        let base: TrafficBase
        do {
            base = try openShaper(of: target).observe()
        } catch {
            throw Problem(.targetRefused, "the target's network cannot be shaped: \(error)", field: "target")
        }
        return .shapeTraffic(layer, in: facts, base: base)
    }

    func shape(
        _ facts: TargetFacts.NetworkNamespace, with layer: TrafficLayer, over base: TrafficBase,
        for session: SessionID, on target: ResolvedTarget
    ) throws(StepError) {
        let network: ShapedNetwork
        if let known = networks[facts] {
            network = known
        } else {
            network = ShapedNetwork(shaper: try openShaper(of: target), base: base)
            networks[facts] = network
        }
        // What the present ifbs have counted would go with them.
        try? network.count()
        network.layers[session] = layer
        network.drainingSince = nil
        let refusal: String
        do throws(TrafficError) {
            try settle(network)
            let differences = try network.shaper.verify(network.layers, base: network.base)
            if differences.isEmpty { return }
            refusal = "the kernel does not show what was asked of it: \(differences.joined(separator: "; "))"
        } catch {
            refusal = "\(error)"
        }
        throw StepError(refusal)
    }

    func unshape(_ facts: TargetFacts.NetworkNamespace, base: TrafficBase, for session: SessionID) -> UndoProgress {
        do {
            guard let network = try networks[facts] ?? reopen(facts, base: base) else {
                // The namespace went, and everything in it.
                return .done(.alreadyRestored)
            }
            networks[facts] = network
            if network.layers[session] != nil { try? network.count() }
            network.layers[session] = nil
            network.counted[session] = nil
            if let retry = try converge(network) { return .unfinished(callAgainAfter: retry) }
            let left = try network.shaper.verify(network.layers, base: network.base)
            if !left.isEmpty { return .done(.failed("still there: \(left.joined(separator: "; "))")) }
            if network.layers.isEmpty { networks[facts] = nil }
            return .done(network.drift.isEmpty ? .restored : .drifted(found: network.drift.joined(separator: "; ")))
        } catch {
            return .done(.failed("\(error)"))
        }
    }

    func trafficEffect(in facts: TargetFacts.NetworkNamespace, of session: SessionID) -> Effect? {
        guard let network = networks[facts], case .success = Result(catching: network.count) else { return nil }
        let counted = network.counted[session] ?? (0, 0)
        return .traffic(packets: counted.packets, dropped: counted.dropped)
    }

    /// Makes the kernel show the network's layers. Returns when to call again while old queues still drain.
    private func converge(_ network: ShapedNetwork) throws(TrafficError) -> Duration? {
        let since = network.drainingSince ?? .now
        network.drainingSince = since
        switch try network.shaper.converge(
            to: network.layers, from: network.base, giveUpDraining: .now - since > Self.drainPatience)
        {
        case .draining(let retry):
            return retry
        case .settled(let drift):
            network.drainingSince = nil
            network.drift += drift
            return nil
        }
    }

    /// The same, and sees to the queues that drain: the layers are in effect without them.
    private func settle(_ network: ShapedNetwork) throws(TrafficError) {
        guard let retry = try converge(network) else { return }
        nonisolated(unsafe) let network = network
        executor.queue.asyncAfter(deadline: DispatchTime.now() + retry.seconds) { [weak self] in
            self?.assumeIsolated { runner in
                // What fails here is found, and told, when the next layer goes.
                try? runner.settle(network)
            }
        }
    }

    private func openShaper(of target: ResolvedTarget) throws(StepError) -> TrafficShaper {
        let shaper = try target.withNetworkNamespace { (namespace) throws(StepError) in
            try Self.openShaper(in: namespace, on: thread)
        }
        guard let shaper else { throw StepError("the target has no network namespace") }
        return shaper
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
        return ShapedNetwork(shaper: try Self.openShaper(in: namespace, on: thread), base: base)
    }

    /// The socket is opened inside the namespace and keeps it; it is used from here on wherever the runner runs.
    private static func openShaper(
        in namespace: borrowing NamespaceHandle, on thread: NamespaceThread
    ) throws(StepError) -> TrafficShaper {
        do throws(NamespaceEntryError<NetlinkError>) {
            return TrafficShaper(
                try thread.run(inNetworkNamespaceOf: namespace) { () throws(NetlinkError) in try NetlinkSocket() })
        } catch {
            throw StepError("\(error)")
        }
    }
}

extension StepRunner {
    /// Shapes loopback in a namespace that nobody uses, and takes it back: whether this kernel can.
    package static func probeShaping(
        in namespace: borrowing NamespaceHandle, on thread: NamespaceThread
    ) throws(StepError) {
        let shaper = try openShaper(in: namespace, on: thread)
        let loopback = TrafficBase(
            interfaces: [.init(index: 1, name: "lo", hadClsact: false, transmitQueueLength: 1000)])
        let layer = TrafficLayer(impairment: TrafficImpairment(latency: .milliseconds(1)))
        do throws(TrafficError) {
            _ = try shaper.converge(to: [.random(): layer], from: loopback, giveUpDraining: true)
            _ = try shaper.converge(to: [:], from: loopback, giveUpDraining: true)
        } catch {
            throw StepError("\(error)")
        }
    }
}
