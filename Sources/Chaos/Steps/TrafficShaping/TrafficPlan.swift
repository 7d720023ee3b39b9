internal import Netlink

/// What must change for the kernel to hold a composition and nothing else of ours. A function of what the kernel holds
/// now, so that it does not matter who left it so, or at which message they were killed.
///
/// The order keeps every packet on a way that leads out: a filter comes after its ifb and goes before it, since one
/// without the other drops packets; filters of more sessions come first and go last, so that no packet falls for an
/// instant to fewer sessions than are there before and after; what excludes packets comes before and goes after all.
struct TrafficPlan {
    private(set) var changes: [TrafficChange] = []
    /// What is left to remove once the queues are empty.
    private(set) var removals: [TrafficChange] = []
    /// Until when packets of ended sessions may stay in their ifbs, and clsact where it is.
    private(set) var wait: Duration?

    private let state: TrafficState
    private let composition: TrafficComposition
    /// Of the base, those that are still there.
    private let interfaces: [TrafficBase.Interface]
    /// What is excluded of all packets, each way.
    private let exclusions: [TrafficExclusion]

    init(
        from state: TrafficState, to composition: TrafficComposition, over base: TrafficBase, givingUpDraining: Bool
    ) throws(TrafficError) {
        self.state = state
        self.composition = composition
        self.interfaces = base.interfaces.filter { state.link($0.index) != nil }
        self.exclusions = TrafficExclusion.all(of: base)
        try planIFBs()
        // An ifb gets its number from the kernel, so the filters that lead to it are planned when it is there.
        if changes.contains(where: \.makesLink) { return }
        try planFilters()
        planQueueLengths()
        planRemovals(givingUpDraining: givingUpDraining)
    }

    private mutating func planIFBs() throws(TrafficError) {
        for wanted in composition.classes {
            guard let link = state.link(named: wanted.interfaceName) else {
                changes.append(.addIFB(wanted))
                continue
            }
            guard link.isOwnIFB else { throw .nameTaken(link.name) }
            let root = state.root(of: link.index)
            if !link.isUp { changes.append(.setUp(link)) }
            if root?.netem != wanted.impairment.netem {
                changes.append(.setNetem(wanted.impairment, on: link, instead: root))
            }
            if link.alias != wanted.alias { changes.append(.setAlias(wanted.alias, on: link)) }
        }
    }

    private mutating func planFilters() throws(TrafficError) {
        var kept: Set<Filter> = []
        if !composition.classes.isEmpty {
            let filters = composition.filters
            for interface in interfaces { try planFilters(filters, on: interface, keeping: &kept) }
        }
        let superfluous = state.ownFilters.filter { !$0.isCatchAll && !kept.contains($0) }
        // Nothing is led any more to filters that go.
        let (entrances, others) = (superfluous.filter(\.isOwnEntrance), superfluous.filter { !$0.isOwnEntrance })
        changes += entrances.map { .deleteFilter($0) }
        changes += others.sorted { $0.place.preference > $1.place.preference }.map { .deleteFilter($0) }
    }

    private mutating func planFilters(
        _ filters: [(ranked: RankedBox, class: TrafficClass?)], on interface: TrafficBase.Interface,
        keeping kept: inout Set<Filter>
    ) throws(TrafficError) {
        let wantedHere = filters.filter { $0.ranked.box.interface ?? interface.name == interface.name }
        let boxes = wantedHere.map(\.ranked.box)
        // What is made here would hold up others' packets for an instant.
        if boxes.isEmpty { return }
        if state.hasIngressQdisc(interface.index) { throw .ingressQdisc(interface: interface.name) }
        if !state.hasClsact(interface.index) { changes.append(.addClsact(interface)) }
        let own = state.ownFilters.filter { $0.place.interface == interface.index }
        if !own.contains(where: { $0.place == .catchAll(of: interface.index) }) {
            changes.append(.addCatchAll(interface))
        }
        // The kernel lets a place have one filter that matches the same.
        let present = Dictionary(grouping: own.filter { !$0.isCatchAll }, by: \.place)
            .mapValues { Dictionary($0.map { ($0.match, $0) }, uniquingKeysWith: { first, _ in first }) }
        for exclusion in exclusions
        where boxes.contains(where: { $0.meet(exclusion.box) != nil }) {
            let place = Filter.Place(excluding: exclusion.box, on: interface.index)
            let found = present[place]?[exclusion.match]
            if let found { kept.insert(found) }
            if found?.actions != [.exclude] {
                changes.append(.exclude(exclusion, at: place, handle: found?.handle, on: interface))
            }
        }
        let entrances = TrafficEntrance.all(of: boxes)
        for (ranked, wanted) in wantedHere {
            let link = wanted.flatMap { state.link(named: $0.interfaceName) }
            if wanted != nil, link == nil { continue }
            for entrance in entrances.ways(to: ranked.box) {
                let place = Filter.Place(of: ranked, behind: entrance, on: interface.index)
                let found = present[place]?[ranked.box.match]
                if let found { kept.insert(found) }
                if found?.actions == [link.map { .redirect(to: $0) } ?? .exclude] { continue }
                changes.append(
                    link.map { .redirect(ranked.box, at: place, to: $0, handle: found?.handle, on: interface) }
                        ?? .letGo(ranked.box, at: place, handle: found?.handle, on: interface))
            }
        }
        // Nothing is led to filters that are not all there.
        for entrance in entrances {
            let place = Filter.Place(entrance, on: interface.index)
            let found = own.first {
                $0.place == place && $0.name == entrance.name && $0.actions == [.enter(entrance.chain)]
            }
            if let found { kept.insert(found) } else { changes.append(.enter(entrance, at: place, on: interface)) }
        }
    }

    /// `qdisc_create()` in the kernel "catches" a queue length of zero and makes it its standard, for clsact as well.
    private static let kernelsTransmitQueueLength: UInt32 = 1000

    private mutating func planQueueLengths() {
        for interface in interfaces where interface.transmitQueueLength == 0 {
            guard state.link(interface.index)?.transmitQueueLength == Self.kernelsTransmitQueueLength else { continue }
            changes.append(.resetQueueLength(interface))
        }
    }

    private mutating func planRemovals(givingUpDraining: Bool) {
        let wanted = Set(composition.classes.map(\.interfaceName))
        var isDraining = false
        for link in state.ownIFBs where !wanted.contains(link.name) {
            let root = state.root(of: link.index)
            if state.ownFilters.contains(where: { $0.leads(to: link) }) {
                // The filter goes now, and the ifb when it has been seen empty after that.
                isDraining = true
            } else if let root, root.queue.packets > 0, !givingUpDraining {
                isDraining = true
                wait(for: root.netem.map { $0.timeToDrain(root.queue.bytes) } ?? .zero)
            } else {
                removals.append(.deleteIFB(link))
            }
        }
        // While anything comes out of an ifb it needs the catch-all.
        guard composition.classes.isEmpty, !isDraining else { return }
        let catchAlls = state.ownFilters.filter(\.isCatchAll)
        let removable = interfaces.filter {
            !$0.hadClsact && state.hasClsact($0.index) && !state.hasForeignFilters($0.index)
        }
        for interface in removable {
            if state.hasBacklog(interface.index), !givingUpDraining {
                wait(for: .zero)
            } else {
                removals.append(.deleteClsact(interface))
            }
        }
        // With clsact, its filters go too.
        removals += catchAlls.filter { filter in !removable.contains { $0.index == filter.place.interface } }.map {
            .deleteFilter($0)
        }
    }

    /// Packets need a little more than their delay.
    private mutating func wait(for delay: Duration) {
        let next = min(max(delay, .zero) + .milliseconds(2), .milliseconds(500))
        wait = max(wait ?? .zero, next)
    }
}

extension TrafficChange {
    fileprivate var makesLink: Bool {
        if case .addIFB = self { return true }
        return false
    }

    /// The number of the link that it deletes.
    var deletedLink: Int32? {
        if case .deleteIFB(let link) = self { return link.index }
        return nil
    }
}

extension Filter {
    fileprivate func leads(to link: Link) -> Bool {
        actions.contains { $0.verb == .redirect(to: link.index) }
    }
}

extension Netem {
    /// How long so many bytes take to leave it.
    fileprivate func timeToDrain(_ bytes: UInt32) -> Duration {
        let delay = latency + jitter
        return rate == 0 ? delay : max(delay, .seconds(Double(bytes) / Double(rate)))
    }
}
