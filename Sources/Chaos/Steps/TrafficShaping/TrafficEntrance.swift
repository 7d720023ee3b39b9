import ChaosModel

/// Where packets of one cgroup's processes leave the filters that all packets meet, for a chain of their own: flower cannot
/// tell whose a packet is. None comes back, so that its chain has every filter that they are to meet.
struct TrafficEntrance: Hashable {
    let direction: TrafficBox.Direction
    let cgroup: TargetFacts.Cgroup

    /// Those that boxes make necessary.
    static func all(of boxes: some Sequence<TrafficBox>) -> [TrafficEntrance] {
        Set(boxes.compactMap { box in box.cgroup.map { TrafficEntrance(direction: box.direction, cgroup: $0) } })
            .sorted { ($0.direction.rawValue, $0.cgroup.path) < ($1.direction.rawValue, $1.cgroup.path) }
    }

    private static let namePrefix = "squall: cgroup "

    /// By which it is known again: a cgroup's number is given once in a boot.
    var name: String { "\(Self.namePrefix)\(cgroup.id)" }

    /// The number of the cgroup that an entrance of this name is for.
    static func cgroup(ofName name: String) -> UInt64? {
        name.hasPrefix(namePrefix) ? UInt64(name.dropFirst(namePrefix.count)) : nil
    }

    /// Of 28 bits, and not 0. Of a thousand cgroups two share one with a probability of one in 500.
    var chain: UInt32 {
        let hash = fnv1a("\(cgroup.id)".utf8)
        return max(1, UInt32(truncatingIfNeeded: hash ^ hash >> 28) & ((1 << 28) - 1))
    }

    /// Whether packets of its cgroup can be in the box.
    func leads(to box: TrafficBox) -> Bool {
        direction == box.direction && (box.cgroup.map { $0.contains(cgroup) } ?? true)
    }
}

extension [TrafficEntrance] {
    /// By which packets of a box come to its filter; nil is without any.
    func ways(to box: TrafficBox) -> [TrafficEntrance?] {
        (box.cgroup == nil ? [nil] : []) + filter { $0.leads(to: box) }.map(Optional.some)
    }
}
