package import ChaosModel
package import DeadMan
internal import LinuxSystem
package import Netlink

/// Gives a network namespace the layers of all its sessions, without touching any root qdisc: packets that an
/// interface is about to send, or has received, are redirected by clsact to an ifb with a netem, come back to the same
/// interface, and go through what was there before. See `TrafficPlan` for the order.
package final class TrafficShaper {
    private let socket: NetlinkSocket
    /// For layers that are about one cgroup's packets.
    var classifiers: CgroupClassifiers?
    /// What was in place when the last convergence ended, so that what differs from it is another's doing. A new
    /// process knows nothing of the kind: it cannot tell another's change from its predecessor's half-done work.
    private var established: (composition: TrafficComposition, base: TrafficBase)?
    /// What it was asked for last: it is asked again and again.
    private var composed: (layers: [SessionID: TrafficLayer], composition: TrafficComposition)?
    private var isDraining = false
    private var drift: [String] = []
    /// All of which something may still be in the kernel.
    private var touched: (classes: Set<TrafficClass>, letGo: Set<RankedBox>) = ([], [])

    /// Enough for every change to be seen through, and to lose a race or two.
    private static let passes = 12
    /// A target makes its interfaces itself, and each of them is work for the node.
    private static let mostInterfaces = 64

    /// - Parameter socket: Opened in the network namespace.
    package init(_ socket: NetlinkSocket, classifiers: CgroupClassifiers? = nil) {
        self.socket = socket
        self.classifiers = classifiers
    }

    /// What to come back to.
    ///
    /// - Parameter excluded: Who is never hit, beside the target's gateways.
    /// - Throws: When there is no interface, or no room for our filters on one of them.
    package func observe(excluding excluded: [ExcludedEndpoint] = []) throws(TrafficError) -> TrafficBase {
        let interfaces = try interfaces()
        var endpoints: [IPNetwork: ExcludedEndpoint] = [:]
        for endpoint in try gateways() + excluded where endpoints[endpoint.network] == nil {
            endpoints[endpoint.network] = endpoint
        }
        return TrafficBase(
            interfaces: interfaces, excluded: endpoints.values.sorted { "\($0.network)" < "\($1.network)" })
    }

    /// Interfaces count that are up, but neither loopback nor an ifb (what is redirected to one is on its way elsewhere)
    /// nor a port of a bridge, bond or VRF (what they send, their master has sent already).
    package func interfaces() throws(TrafficError) -> [TrafficBase.Interface] {
        let state = try readState()
        let eligible = state.links.filter { $0.isUp && !$0.isLoopback && $0.kind != "ifb" && $0.master == nil }
        if eligible.isEmpty { throw .noInterface }
        if eligible.count > Self.mostInterfaces { throw .tooManyInterfaces(eligible.count, most: Self.mostInterfaces) }
        var interfaces: [TrafficBase.Interface] = []
        for link in eligible {
            if state.hasIngressQdisc(link.index) { throw .ingressQdisc(interface: link.name) }
            let filters = state.filters.filter { $0.place.interface == link.index }
            let obstacle = filters.first {
                // What is excluded, or comes back from an ifb, meets no filter behind ours any more.
                $0.handle != 0 && !$0.isOwn && $0.place.preference >= TrafficClass.preferences.lowerBound
            }
            if let obstacle {
                throw .preferenceTaken(interface: link.name, preference: obstacle.place.preference)
            }
            // With a filter of ours on it, it is what an agent left behind whose journal is lost.
            let hadClsact = state.hasClsact(link.index) && !filters.contains(where: \.isOwn)
            interfaces.append(
                TrafficBase.Interface(
                    index: link.index, name: link.name, hadClsact: hadClsact,
                    transmitQueueLength: link.transmitQueueLength))
        }
        return interfaces
    }

    /// Of the default routes: those by which packets leave for addresses that are nobody's (RFC 5737, RFC 3849).
    package func gateways() throws(TrafficError) -> [ExcludedEndpoint] {
        var found: [ExcludedEndpoint] = []
        for nobody in ["192.0.2.1", "2001:db8::1"].compactMap(IPNetwork.init(text:)) {
            do throws(NetlinkError) {
                guard let gateway = try socket.gateway(to: nobody.address) else { continue }
                if let network = IPNetwork(host: gateway) { found.append(ExcludedEndpoint(network, .gateway)) }
            } catch {
                throw .netlink(error)
            }
        }
        return found
    }

    /// Makes the kernel hold these layers and nothing else of ours, from whatever state it is in, and never waits for
    /// packets. All layers are in effect when it returns; what is left of ended ones may still have to drain.
    ///
    /// - Parameters:
    ///   - giveUpDraining: Whether to delete queues with the packets in them.
    ///   - leavesLinks: Whether ifbs that nothing leads to any more are left to the caller.
    package func converge(
        to layers: [SessionID: TrafficLayer], from base: TrafficBase, giveUpDraining: Bool, leavesLinks: Bool = false
    ) throws(TrafficError) -> TrafficOutcome {
        noteDrift()
        let composition = composition(of: layers)
        var hasBeenRefused = false
        for _ in 0..<Self.passes {
            let state = try readState()
            // Those of cgroups that no filter and no layer is about any more are free for others.
            classifiers?.keep(only: state.cgroups.union(composition.cgroups))
            let plan = try TrafficPlan(from: state, to: composition, over: base, givingUpDraining: giveUpDraining)
            if plan.changes.isEmpty, plan.removals.isEmpty {
                return finish(composition, base, wait: plan.wait)
            }
            if leavesLinks, plan.changes.isEmpty {
                let links = plan.removals.compactMap(\.deletedLink)
                if !links.isEmpty { return .leaves(links: links) }
            }
            let removals = leavesLinks && !plan.changes.isEmpty ? [] : plan.removals
            do {
                for change in plan.changes + removals { try perform(change) }
                hasBeenRefused = false
            } catch {
                // What was read a moment ago may be true no more: look again, once.
                if hasBeenRefused || !error.meansOutdated { throw .netlink(error) }
                hasBeenRefused = true
            }
        }
        throw .contested(differences: try verify(layers, base: base))
    }

    /// Deletes ifbs by their numbers. The kernel lets each wait for grace periods, some 20 ms in which it does nothing, and
    /// those of other namespaces wait for the same ones: it may run on any thread, while nothing else of this is called.
    package func delete(links: [Int32]) throws(TrafficError) {
        for link in links {
            do throws(NetlinkError) {
                try socket.deleteLink(link)
            } catch {
                // Somebody else has done it: the target, or the dead-man's process.
                if error.errno != .noDevice { throw .netlink(error) }
            }
        }
    }

    /// What takes everything of ours out of the namespace, once these layers are in it too, in whatever state it is.
    package func teardown(
        including layers: [SessionID: TrafficLayer], base: TrafficBase
    ) -> DeadMansProgram {
        let composition = composition(of: layers)
        touched.classes.formUnion(composition.classes)
        touched.letGo.formUnion(composition.letGo)
        return DeadMansProgram(
            removing: touched.classes, sparing: touched.letGo, from: base, resetsQueueLengths: established == nil)
    }

    /// Somebody else who acts for us has taken everything out: that is no drift.
    package func forget() {
        established = nil
    }

    /// Reads back, and says what is not as it should be: nothing, if all is well. What still drains is as it should be.
    package func verify(
        _ layers: [SessionID: TrafficLayer], base: TrafficBase
    ) throws(TrafficError) -> [String] {
        let plan = try plan(composition(of: layers), over: base)
        return (plan.changes + (isDraining ? [] : plan.removals)).map(\.description)
    }

    /// What went through the fault of each set of sessions that meet.
    package func counts(of layers: [SessionID: TrafficLayer]) throws(TrafficError) -> [TrafficCount] {
        let state = try readState()
        return composition(of: layers).classes.compactMap { each in
            guard let link = state.link(named: each.interfaceName), let root = state.root(of: link.index) else {
                return nil
            }
            return TrafficCount(
                sessions: each.sessions, interface: link.index, packets: root.queue.passed, dropped: root.queue.dropped)
        }
    }

    private func composition(of layers: [SessionID: TrafficLayer]) -> TrafficComposition {
        if let composed, composed.layers == layers { return composed.composition }
        let composition = TrafficComposition(layers)
        composed = (layers, composition)
        return composition
    }

    /// Never stops a convergence: what stands in the way of the old layers need not stand in the way of the new ones.
    private func noteDrift() {
        guard let (composition, base) = established else { return }
        established = nil
        do {
            drift += try plan(composition, over: base).changes.map(\.description)
        } catch .netlink {
            // What could not be read has not drifted: it is looked at when it can be.
            established = (composition, base)
        } catch {
            drift.append("\(error)")
        }
    }

    private func finish(_ composition: TrafficComposition, _ base: TrafficBase, wait: Duration?) -> TrafficOutcome {
        established = (composition, base)
        isDraining = wait != nil
        if let wait { return .draining(retryAfter: wait) }
        touched = (Set(composition.classes), Set(composition.letGo))
        defer { drift = [] }
        return .settled(drift: drift)
    }

    private func readState() throws(TrafficError) -> TrafficState {
        do {
            return try TrafficState(readingFrom: socket)
        } catch {
            throw .netlink(error)
        }
    }

    private func plan(
        _ composition: TrafficComposition, over base: TrafficBase
    ) throws(TrafficError) -> TrafficPlan {
        try TrafficPlan(from: try readState(), to: composition, over: base, givingUpDraining: false)
    }

    private func perform(_ change: TrafficChange) throws(NetlinkError) {
        if case .addClsact(let interface) = change { try awaitEmptyQueue(of: interface.index) }
        try change.perform(through: socket, classifiers)
    }

    /// Adding clsact drops what waits in the interface's queues. Most of the time that is nothing, so a moment without
    /// packets is soon found; a queue that never empties is not worth refusing a session for.
    private func awaitEmptyQueue(of interface: Int32) throws(NetlinkError) {
        for _ in 0..<20 {
            let root = try socket.qdiscs().first { $0.interface == interface && $0.isRoot }
            guard let root, root.queue.packets > 0 else { return }
        }
    }
}

/// Packets that the kernel counted at one ifb.
package struct TrafficCount: Hashable, Sendable {
    package let sessions: [SessionID]
    package let interface: Int32
    package let packets: UInt32
    package let dropped: UInt32
}

/// How far a convergence came.
package enum TrafficOutcome: Hashable, Sendable {
    /// All is as asked. The drift is what somebody else had changed in our objects, in words; it has been put right.
    case settled(drift: [String])
    /// The layers are in effect, but packets of ended ones still wait: converge again.
    case draining(retryAfter: Duration)
    /// The layers are in effect, and of ended ones these ifbs are to be deleted: then converge again.
    case leaves(links: [Int32])
}

extension NetlinkError {
    /// Whether the request may have failed because its object vanished or appeared since it was last looked at.
    fileprivate var meansOutdated: Bool {
        // Busy is an interface on which somebody else is about to change a filter.
        [.noDevice, .noEntry, .exists, .invalidArgument, .busy].contains(errno)
    }
}
