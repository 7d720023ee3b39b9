package import ChaosModel

/// What all sessions of a network namespace do together: the packets that are in several sessions' filters make a class
/// of their own, with the sum of what those sessions do. A function of the layers and nothing else.
package struct TrafficComposition: Hashable, Sendable {
    /// Largest set of sessions first: the order in which their filters must be asked.
    package let classes: [TrafficClass]

    package init(_ layers: [SessionID: TrafficLayer]) {
        let own = layers.mapValues(\.boxes)
        let bySessions = Self.grouped(Self.closed(own.values), by: own)
        classes = bySessions.map { sessions, boxes in
            TrafficClass(layers: layers.filter { sessions.contains($0.key) }, boxes: boxes)
        }.sorted { $0.precedes($1) }
    }

    /// The numbers of those whose packets alone some of it is about.
    var cgroups: Set<UInt64> { Set(classes.flatMap { $0.boxes.compactMap(\.cgroup?.id) }) }

    /// How many boxes the sessions of a network namespace may have together, with those in which they meet.
    private static let mostBoxes = 512
    /// How many filters: for each box one on each interface.
    private static let mostFilters = 2048
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
    package static func obstacle(to layers: [TrafficLayer], interfaces: Int) -> Obstacle? {
        let most = min(mostBoxes, mostFilters / max(interfaces, 1))
        let own = Dictionary(uniqueKeysWithValues: layers.enumerated().map { ($0.offset, $0.element.boxes) })
        let boxes = closed(own.values)
        let entrances = TrafficEntrance.all(of: boxes)
        let filters = boxes.reduce(entrances.count) { $0 + entrances.ways(to: $1).count }
        if filters > most { return .limit("more than \(most) filters on each interface") }
        let sets = grouped(boxes, by: own).keys
        if sets.count > mostClasses {
            return .limit("\(sets.count) different sets of packets, and \(mostClasses) are the most")
        }
        return sets.lazy.compactMap { set in
            set.map { layers[$0].impairment }.reduce(TrafficImpairment()) { $0.combined(with: $1) }.contradiction
        }.first.map(Obstacle.contradiction)
    }

    /// A box belongs to everybody whose filter contains it, so that no box has two classes, and none is made whose every
    /// packet a class of more owners takes first.
    private static func grouped<Owner>(
        _ boxes: Set<TrafficBox>, by own: [Owner: Set<TrafficBox>]
    ) -> [Set<Owner>: [TrafficBox]] {
        Dictionary(grouping: boxes) { box in Set(own.filter { $1.contains { $0.contains(box) } }.keys) }
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
