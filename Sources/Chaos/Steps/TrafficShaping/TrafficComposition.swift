package import ChaosModel

/// What all sessions of a network namespace do together: the packets that are in several sessions' filters make a class
/// of their own, with the sum of what those sessions do. A function of the layers and nothing else.
package struct TrafficComposition: Hashable, Sendable {
    /// Largest set of sessions first: the order in which their filters must be asked.
    package let classes: [TrafficClass]

    package init(_ layers: [SessionID: TrafficLayer]) {
        let boxes = Self.boxes(of: layers.values)
        // A box belongs to everybody whose filter contains it, so that no box has two classes, and none is made
        // whose every packet a class of more sessions takes first.
        let own = layers.mapValues(\.boxes)
        let bySessions = Dictionary(grouping: boxes) { box in
            Set(own.filter { $1.contains { $0.contains(box) } }.keys)
        }
        classes = bySessions.map { sessions, boxes in
            TrafficClass(layers: layers.filter { sessions.contains($0.key) }, boxes: boxes)
        }.sorted { $0.precedes($1) }
    }

    /// How many boxes the sessions of a network namespace may have together, with those in which they meet.
    private static let mostBoxes = 512
    /// How many filters: for each box one on each interface.
    private static let mostFilters = 2048
    /// How many ifbs, of which the kernel takes ten milliseconds or more to delete each.
    private static let mostClasses = 32

    /// Why so many layers cannot be together; nil when they can.
    package static func obstacle(to layers: some Collection<TrafficLayer>, interfaces: Int) -> String? {
        let most = min(mostBoxes, mostFilters / max(interfaces, 1))
        if boxes(of: layers).count > most { return "more than \(most) filters on each interface" }
        let named = Dictionary(uniqueKeysWithValues: layers.map { (SessionID.random(), $0) })
        let classes = TrafficComposition(named).classes.count
        return classes > mostClasses
            ? "\(classes) different sets of packets, and \(mostClasses) are the most" : nil
    }

    /// All boxes, and those in which they meet. When they are more than may be it is not all of them.
    private static func boxes(of layers: some Collection<TrafficLayer>) -> Set<TrafficBox> {
        var closed = layers.reduce(into: Set<TrafficBox>()) { $0.formUnion($1.boxes) }
        var fresh = Array(closed)
        while let box = fresh.popLast(), closed.count <= mostBoxes {
            for other in closed {
                if let met = box.meet(other), closed.insert(met).inserted { fresh.append(met) }
            }
        }
        return closed
    }
}
