package import ChaosModel
internal import Netlink

/// The packets that are hit by exactly these sessions, and what happens to them: one ifb with one netem.
package struct TrafficClass: Hashable, Sendable {
    /// In the order of their names.
    package let sessions: [SessionID]
    /// Always in the same order.
    package let boxes: [TrafficBox]
    /// What other sessions that want the same packets spare of them, and these do not: asked before all boxes.
    let leftover: [RankedBox]
    package let impairment: TrafficImpairment
    /// Of its ifb: a function of the sessions, so that a new process finds what another one made.
    package let interfaceName: String

    init(layers: [SessionID: TrafficLayer], boxes: some Sequence<TrafficBox>, leftover: [RankedBox] = []) {
        let ordered = layers.sorted { $0.key.text < $1.key.text }
        self.sessions = ordered.map(\.key)
        self.boxes = boxes.sorted()
        self.leftover = leftover.sorted()
        self.impairment = ordered.map(\.value.impairment).reduce(TrafficImpairment()) {
            $0.combined(with: $1)
        }
        self.interfaceName = Self.interfaceName(of: sessions)
        precondition(sessions.count <= RankedBox.mostSessions, "more sessions than filter preferences")
    }

    /// All that lead to its ifb.
    var filters: [RankedBox] {
        boxes.map { RankedBox($0, ofSessions: sessions.count, .ordinary) } + leftover
    }

    /// The alias of its ifb, for people.
    package var alias: String {
        let text = "squall: " + sessions.map(\.text).joined(separator: " ")
        return text.utf8.count <= Self.longestAlias ? text : "squall: \(sessions.count) sessions"
    }

    private static let longestAlias = 255
}

extension TrafficClass {
    /// Whether its filters must be asked before the other's, which has fewer sessions; the name decides between equals.
    func precedes(_ other: TrafficClass) -> Bool {
        (other.sessions.count, interfaceName) < (sessions.count, other.interfaceName)
    }
}

// Names. An interface's name has at most 15 characters: `squall` and nine digits of base 36.
extension TrafficClass {
    private static let namePrefix = "squall"
    private static let nameDigits = 9

    /// The sessions' names hashed to 46 bits. Of a
    /// thousand classes in one network namespace two share a name with a probability of one in 200 million.
    private static func interfaceName(of sessions: [SessionID]) -> String {
        let digits = String(fnv1a(sessions.flatMap(\.text.utf8)), radix: 36).suffix(nameDigits)
        return namePrefix + String(repeating: "0", count: nameDigits - digits.count) + digits
    }

    /// Whether this agent gives such names.
    static func isInterfaceName(_ name: some StringProtocol) -> Bool {
        name.hasPrefix(namePrefix) && name.utf8.count == namePrefix.utf8.count + nameDigits
            && name.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) }
    }
}

// Preferences: above 49152, from which the kernel counts down for filters that ask for none.
extension TrafficClass {
    /// All that may be used here.
    static let preferences: ClosedRange<UInt16> = 50_000...catchAllPreference
    static let catchAllPreference: UInt16 = 60_000

    /// Before all classes.
    static func preferenceOfExclusion(_ family: TrafficBox.Family) -> UInt16 {
        preferences.lowerBound + (family == .ipv4 ? 0 : 1)
    }

    /// After what is excluded and before all classes: who is deeper among the cgroups first, as far as numbers last.
    static func preferenceOfEntrance(_ cgroup: TargetFacts.Cgroup) -> UInt16 {
        let depth = UInt16(clamping: cgroup.path.utf8.count { $0 == UInt8(ascii: "/") })
        return preferences.lowerBound + 2 + deepest - min(depth, deepest)
    }

    private static let deepest: UInt16 = 15
}

/// A box, and when its filter is asked.
package struct RankedBox: Hashable, Sendable {
    package let box: TrafficBox
    /// A preference holds filters of one EtherType.
    package let preference: UInt16

    /// What is spared is asked before what it is spared of; and what nobody can name before the rest, which some may have
    /// named.
    enum Tier: UInt16, CaseIterable, Comparable {
        case ordinary
        case sparedUnlessNamed
        case spared

        static func < (one: Tier, other: Tier) -> Bool { one.rawValue < other.rawValue }
    }

    /// In one network namespace.
    static let mostSessions = 1_660

    /// - Parameter sessions: How many want its packets, those that spare them too: in each tier, those of more are asked
    ///   first.
    init(_ box: TrafficBox, ofSessions sessions: Int, _ tier: Tier) {
        self.box = box
        let rank = tier.rawValue * UInt16(Self.mostSessions) + UInt16(sessions)
        preference = TrafficClass.catchAllPreference - 2 * rank - (box.family == .ipv4 ? 1 : 0)
    }
}

extension RankedBox: Comparable {
    package static func < (one: Self, other: Self) -> Bool { (one.preference, one.box) < (other.preference, other.box) }
}
