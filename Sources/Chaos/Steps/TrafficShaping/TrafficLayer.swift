package import ChaosModel

/// What one session does to the traffic of a network namespace.
package struct TrafficLayer: Hashable, Sendable {
    package let direction: Direction
    package let filter: TrafficFilter
    package let impairment: TrafficImpairment
    /// What of these packets is left alone: some of a layer on a whole host, nothing of others.
    package let spared: Set<SparedPackets>

    /// As the target sees it.
    package enum Direction: String, CaseIterable, Sendable {
        case egress
        case ingress
        case both
    }

    /// What the boxes of one may come to.
    package static let mostBoxes = 128

    /// All of its packets.
    package var boxes: Set<TrafficBox> {
        switch direction {
        case .egress: filter.boxes
        case .ingress: Set(filter.boxes.map { $0.going(.ingress) })
        case .both: filter.boxes.union(filter.boxes.map { $0.going(.ingress) })
        }
    }

    /// The same, of hosts that have these addresses by now.
    package func found(at addresses: [HostName: [IPNetwork]]) -> TrafficLayer {
        TrafficLayer(
            direction: direction, filter: filter.found(at: addresses), impairment: impairment, spared: spared)
    }

    /// The same, but for these.
    package func sparing(_ spared: Set<SparedPackets>) -> TrafficLayer {
        TrafficLayer(direction: direction, filter: filter, impairment: impairment, spared: spared)
    }

    package init(
        direction: Direction = .egress, filter: TrafficFilter = .everything, impairment: TrafficImpairment,
        spared: Set<SparedPackets> = []
    ) {
        self.direction = direction
        self.filter = filter
        self.impairment = impairment
        self.spared = spared
    }
}

extension TrafficLayer {
    package var json: JSON {
        .object([
            ("direction", .string(direction.rawValue)), ("filter", filter.json), ("impairment", impairment.json),
            ("spared", spared.isEmpty ? nil : .array(spared.sorted().map(\.json))),
        ])
    }

    /// Nil for anything that `json` cannot have made.
    package init?(_ json: JSON) {
        guard let json = json.only("direction", "filter", "impairment", "spared"),
            let direction = json["direction"]?.stringValue.flatMap(Direction.init),
            let filter = json["filter"].flatMap(TrafficFilter.init),
            let impairment = json["impairment"].flatMap(TrafficImpairment.init)
        else { return nil }
        let values = json["spared"]?.arrayValue ?? []
        let spared = values.compactMap(SparedPackets.init)
        guard spared.count == values.count else { return nil }
        self.init(direction: direction, filter: filter, impairment: impairment, spared: Set(spared))
    }
}
