package import ChaosModel

/// What all sessions of a network namespace do together: the packets that are in several sessions' filters make a class
/// of their own, with the sum of what those sessions do. A function of the layers and nothing else.
package struct TrafficComposition: Hashable, Sendable {
    /// Largest set of sessions first: the order in which their filters must be asked.
    package let classes: [TrafficClass]
    /// What every session that wants it spares.
    package let letGo: [RankedBox]

    package init(_ layers: [SessionID: TrafficLayer]) {
        let own = layers.mapValues(\.boxes)
        let wanted = Self.grouped(Self.closed(own.values), by: own)
        let left = Self.left(of: wanted, by: own, sparing: layers.mapValues(\.spared))
        classes = Self.sets(wanted, left).map { sessions in
            TrafficClass(
                layers: layers.filter { sessions.contains($0.key) }, boxes: wanted[sessions] ?? [],
                leftover: left[sessions] ?? [])
        }.sorted { $0.precedes($1) }
        letGo = (left[[]] ?? []).sorted()
    }

    /// The numbers of those whose packets alone some of it is about.
    var cgroups: Set<UInt64> { Set(filters.compactMap(\.ranked.box.cgroup?.id)) }

    /// In the order in which they are asked, and to whom each leads; nil for what is let go.
    package var filters: [(ranked: RankedBox, class: TrafficClass?)] {
        (letGo.map { ($0, nil) } + classes.flatMap { each in each.filters.map { ($0, each) } })
            .sorted { $0.ranked < $1.ranked }
    }

    /// How many boxes the sessions of a network namespace may have together, with those in which they meet, and how many
    /// filters on each interface.
    private static let mostBoxes = 512
    /// How many filters on all interfaces together: on each one for each box that is about it.
    private static let mostFilters = 2048
    /// How many filters that exclude somebody, at each of the two hooks.
    private static let mostExclusions = 512
    /// How many ifbs, of which the kernel takes ten milliseconds or more to delete each.
    private static let mostClasses = 32

    /// Why layers cannot be together.
    package enum Obstacle: Hashable, Sendable {
        /// It would be more than may be.
        case limit(String)
        /// No queue can do to the same packets what these do.
        case contradiction(String)

        var words: String {
            switch self {
            case .limit(let words), .contradiction(let words): words
            }
        }
    }

    /// Nil when all of these can be together.
    package static func obstacle(to layers: [TrafficLayer], over base: TrafficBase) -> Obstacle? {
        if layers.count > RankedBox.mostSessions {
            return .limit("\(layers.count) sessions, and \(RankedBox.mostSessions) are the most")
        }
        let own = Dictionary(uniqueKeysWithValues: layers.enumerated().map { ($0.offset, $0.element.boxes) })
        let closed = closed(own.values)
        if closed.count > mostBoxes { return tooManyOnOne }
        if let excess = excess(of: Array(closed), over: base) { return excess }
        let wanted = grouped(closed, by: own)
        let spared = Dictionary(uniqueKeysWithValues: layers.enumerated().map { ($0.offset, $0.element.spared) })
        let left = left(of: wanted, by: own, sparing: spared)
        if let excess = excess(of: closed + left.values.joined().map(\.box), over: base) { return excess }
        let sets = sets(wanted, left)
        if sets.count > mostClasses {
            return .limit("\(sets.count) different sets of packets, and \(mostClasses) are the most")
        }
        return sets.lazy.compactMap { set in
            set.map { layers[$0].impairment }.reduce(TrafficImpairment()) { $0.combined(with: $1) }.contradiction
        }.first.map(Obstacle.contradiction)
    }

    private static let tooManyOnOne = Obstacle.limit("more than \(mostBoxes) filters on an interface")

    /// What these would be too many for. An interface that no box is about has no filter.
    private static func excess(of boxes: [TrafficBox], over base: TrafficBase) -> Obstacle? {
        let tooMany = Obstacle.limit("more than \(mostFilters) filters on all interfaces together")
        if boxes.count > mostFilters { return tooMany }
        func filters(on name: String?) -> Int {
            let here = boxes.filter { $0.interface == nil || $0.interface == name }
            if here.count > mostBoxes { return here.count }
            let entrances = TrafficEntrance.all(of: here)
            return here.reduce(entrances.count) { $0 + entrances.ways(to: $1).count }
        }
        let named = Set(boxes.compactMap(\.interface))
        let elsewhere = filters(on: nil)
        var (all, interfaces) = (0, 0)
        for interface in base.interfaces {
            let count = named.contains(interface.name) ? filters(on: interface.name) : elsewhere
            if count == 0 { continue }
            if count > mostBoxes { return tooManyOnOne }
            (all, interfaces) = (all + count, interfaces + 1)
            if all > mostFilters { return tooMany }
        }
        let excluded = base.excluded.count
        return excluded * interfaces > mostExclusions
            ? .limit("\(excluded) addresses that are never hit, on \(interfaces) interfaces") : nil
    }

    /// A box belongs to everybody whose filter contains it, so that no box has two classes, and none is made whose every
    /// packet a class of more owners takes first.
    private static func grouped<Owner>(
        _ boxes: Set<TrafficBox>, by own: [Owner: Set<TrafficBox>]
    ) -> [Set<Owner>: [TrafficBox]] {
        Dictionary(grouping: boxes) { box in Set(own.filter { $1.contains { $0.contains(box) } }.keys) }
    }

    /// Of boxes that sessions want of which some spare a part, these parts, by the sessions that want them all the same. What
    /// some spare of the packets of a box it has alone, none of a smaller box: so each part meets every box, and the parts
    /// need not meet each other.
    private static func left<Owner>(
        of wanted: [Set<Owner>: [TrafficBox]], by own: [Owner: Set<TrafficBox>],
        sparing: [Owner: Set<SparedPackets>]
    ) -> [Set<Owner>: [RankedBox]] {
        var parts: [TrafficBox: RankedBox.Tier] = [:]
        for (owners, boxes) in wanted {
            for spared in owners.reduce(into: Set<SparedPackets>(), { $0.formUnion(sparing[$1] ?? []) }) {
                let tier: RankedBox.Tier = spared.use.canBeNamed ? .sparedUnlessNamed : .spared
                for part in boxes.compactMap(spared.meet) { parts[part] = max(parts[part] ?? tier, tier) }
            }
        }
        var left: [Set<Owner>: [RankedBox]] = [:]
        for (part, tier) in parts {
            let owners = own.filter { $1.contains { $0.contains(part) } }.keys
            let others = owners.filter { owner in !(sparing[owner] ?? []).contains { $0.contains(part) } }
            left[Set(others), default: []].append(RankedBox(part, ofSessions: owners.count, tier))
        }
        return left
    }

    /// Those to whom something is done.
    private static func sets<Owner>(
        _ wanted: [Set<Owner>: [TrafficBox]], _ left: [Set<Owner>: [RankedBox]]
    ) -> Set<Set<Owner>> {
        Set(wanted.keys).union(left.keys).subtracting([[]])
    }

    /// All boxes, and those in which they meet. When they are more than may be it is not all of them.
    private static func closed(_ boxes: some Collection<Set<TrafficBox>>) -> Set<TrafficBox> {
        var closed = boxes.reduce(into: Set<TrafficBox>()) { $0.formUnion($1) }
        var fresh = Array(closed)
        while let box = fresh.popLast(), closed.count <= mostBoxes {
            for other in closed {
                if let met = box.meet(other), closed.insert(met).inserted { fresh.append(met) }
            }
        }
        return closed
    }
}
