package import ChaosModel

/// What all sessions of a network namespace do together: the packets that are in several sessions' filters make a class
/// of their own, with the sum of what those sessions do. A function of the layers and nothing else.
package struct TrafficComposition: Hashable, Sendable {
    /// Largest set of sessions first: the order in which their filters must be asked.
    package let classes: [TrafficClass]

    package init(_ layers: [SessionID: TrafficLayer]) {
        let boxes = Self.closedUnderMeeting(layers.values.map(\.filter.boxes).reduce(into: []) { $0.formUnion($1) })
        // A box belongs to everybody whose filter contains it, so that no box has two classes, and none is made
        // whose every packet a class of more sessions takes first.
        let bySessions = Dictionary(grouping: boxes) { box in
            Set(layers.filter { $1.filter.boxes.contains { $0.contains(box) } }.keys)
        }
        classes = bySessions.map { sessions, boxes in
            TrafficClass(layers: layers.filter { sessions.contains($0.key) }, boxes: boxes)
        }.sorted { $0.precedes($1) }
    }

    private static func closedUnderMeeting(_ boxes: Set<TrafficBox>) -> Set<TrafficBox> {
        var closed = boxes
        var fresh = boxes
        while !fresh.isEmpty {
            let met = fresh.flatMap { box in closed.compactMap { $0.meet(box) } }
            fresh = Set(met).subtracting(closed)
            closed.formUnion(fresh)
        }
        return closed
    }
}
