package import ChaosModel

/// What one session does to the traffic of a network namespace.
package struct TrafficLayer: Hashable, Sendable {
    package let direction: Direction
    package let filter: TrafficFilter
    package let impairment: TrafficImpairment

    /// As the target sees it.
    package enum Direction: String, Sendable {
        case egress
    }

    package init(
        direction: Direction = .egress, filter: TrafficFilter = .everything, impairment: TrafficImpairment
    ) {
        self.direction = direction
        self.filter = filter
        self.impairment = impairment
    }
}

extension TrafficLayer {
    package var json: JSON {
        .object([
            ("direction", .string(direction.rawValue)), ("filter", filter.json), ("impairment", impairment.json),
        ])
    }

    /// Nil for anything that `json` cannot have made.
    package init?(_ json: JSON) {
        guard let json = json.only("direction", "filter", "impairment"),
            let direction = json["direction"]?.stringValue.flatMap(Direction.init),
            let filter = json["filter"].flatMap(TrafficFilter.init),
            let impairment = json["impairment"].flatMap(TrafficImpairment.init)
        else { return nil }
        self.init(direction: direction, filter: filter, impairment: impairment)
    }
}
