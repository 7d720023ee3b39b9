package import ChaosModel

/// Which packets a layer is about: those that are in at least one of its boxes.
package struct TrafficFilter: Hashable, Sendable {
    package let boxes: Set<TrafficBox>

    /// - Parameter boxes: Not empty: a layer about nothing is a mistake.
    package init(boxes: Set<TrafficBox>) {
        precondition(!boxes.isEmpty, "a traffic filter without a box matches nothing")
        self.boxes = boxes
    }

    /// All IPv4 and IPv6 packets. What is neither, as ARP, is never touched: without it no neighbour would be found.
    package static let everything = TrafficFilter(boxes: Set(TrafficBox.Family.allCases.map(TrafficBox.init)))
}

/// The packets that agree with a value in every dimension. Intersections of boxes are boxes again.
package struct TrafficBox: Hashable, Sendable {
    package let family: Family

    package enum Family: String, CaseIterable, Sendable {
        case ipv4
        case ipv6
    }

    package init(family: Family) {
        self.family = family
    }

    /// The packets that are in both; nil when there can be none.
    package func meet(_ other: TrafficBox) -> TrafficBox? {
        family == other.family ? self : nil
    }

    package func contains(_ other: TrafficBox) -> Bool { meet(other) == other }
}

extension TrafficFilter {
    package var json: JSON {
        .array(boxes.map(\.family.rawValue).sorted().map { .object([("family", .string($0))]) })
    }

    /// Nil for anything that `json` cannot have made.
    package init?(_ json: JSON) {
        guard let values = json.arrayValue, !values.isEmpty else { return nil }
        var boxes: Set<TrafficBox> = []
        for value in values {
            guard let text = value.only("family")?["family"]?.stringValue,
                let family = TrafficBox.Family(rawValue: text), boxes.insert(TrafficBox(family: family)).inserted
            else { return nil }
        }
        self.boxes = boxes
    }
}

extension JSON {
    /// This object, if it has no members but these.
    func only(_ names: String...) -> JSON? {
        guard let members, members.allSatisfy({ names.contains($0.name) }) else { return nil }
        return self
    }
}
