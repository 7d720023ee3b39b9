import ChaosModel
import LinuxSystem
import Netlink
import Steps
import Testing

struct TrafficShapingCompositionTests {
    private static let filters: [TrafficFilter] = [
        .everything, TrafficFilter(boxes: [TrafficBox(family: .ipv4)]),
        TrafficFilter(boxes: [TrafficBox(family: .ipv6)]),
    ]

    /// Four sessions with every combination of filters, and every subset of them.
    private static let cases: [[SessionID: TrafficLayer]] = {
        let sessions = ["s-0000000000000001", "s-00000000000000ff", "s-abcdef0123456789", "s-ffffffffffffffff"]
            .compactMap { SessionID($0) }
        var cases: [[SessionID: TrafficLayer]] = [[:]]
        for (index, session) in sessions.enumerated() {
            let impairment = TrafficImpairment(latency: .milliseconds(1 << index), jitter: .microseconds(1 << index))
            cases += cases.flatMap { known in
                filters.map { filter in
                    known.merging([session: TrafficLayer(filter: filter, impairment: impairment)]) { first, _ in first }
                }
            }
        }
        return cases
    }()

    @Test func `every packet falls to the class of exactly the sessions that want it`() {
        #expect(Self.cases.count == 256)
        for layers in Self.cases {
            let classes = TrafficComposition(layers).classes
            for family in TrafficBox.Family.allCases {
                let box = TrafficBox(family: family)
                let wanted = layers.filter { $0.value.filter.boxes.contains(box) }
                let found = classes.filter { $0.boxes.contains(box) }
                #expect(found.map { Set($0.sessions) } == (wanted.isEmpty ? [] : [Set(wanted.keys)]))
                #expect(
                    found.first?.impairment.latency
                        == (wanted.isEmpty ? nil : wanted.values.map(\.impairment.latency).reduce(.zero, +)))
            }
        }
    }

    @Test func `no class is made that no packet would reach`() {
        for layers in Self.cases {
            let classes = TrafficComposition(layers).classes
            #expect(classes.allSatisfy { !$0.boxes.isEmpty })
            #expect(Set(classes.map(\.sessions)).count == classes.count)
            #expect(classes.flatMap(\.boxes).count == Set(classes.flatMap(\.boxes)).count)
        }
    }

    @Test func `larger sets come first`() {
        for layers in Self.cases {
            let sizes = TrafficComposition(layers).classes.map(\.sessions.count)
            #expect(sizes == sizes.sorted(by: >))
        }
    }

    @Test func `different sets of sessions have different names of at most 15 characters`() {
        let classes = Self.cases.flatMap { TrafficComposition($0).classes }
        let names = Dictionary(grouping: classes, by: \.interfaceName).mapValues { Set($0.map(\.sessions)) }
        #expect(names.count == 15)
        #expect(names.allSatisfy { $0.key.utf8.count == 15 && $0.value.count == 1 })
    }

    @Test func `names never change: another version must find what this one made`() throws {
        let first = try #require(SessionID("s-0000000000000001"))
        let second = try #require(SessionID("s-abcdef0123456789"))
        let layer = TrafficLayer(impairment: TrafficImpairment(latency: .milliseconds(1)))
        #expect(TrafficComposition([first: layer]).classes.map(\.interfaceName) == ["squall0tauodfka"])
        #expect(TrafficComposition([second: layer, first: layer]).classes.map(\.interfaceName) == ["squallqlo8wv1ei"])
    }

    @Test func `an alias names the sessions, or says how many when they are too many`() {
        let layer = TrafficLayer(impairment: TrafficImpairment(latency: .milliseconds(1)))
        let sessions = (0..<20).map { _ in SessionID.random() }.sorted { $0.text < $1.text }
        let few = TrafficComposition(Dictionary(uniqueKeysWithValues: sessions.prefix(2).map { ($0, layer) }))
        #expect(few.classes.map(\.alias) == ["squall: \(sessions[0]) \(sessions[1])"])
        let many = TrafficComposition(Dictionary(uniqueKeysWithValues: sessions.map { ($0, layer) }))
        #expect(many.classes.map(\.alias) == ["squall: 20 sessions"])
    }

    @Test func `a thousand sessions with the same filter are one class`() {
        let layer = TrafficLayer(impairment: TrafficImpairment(latency: .milliseconds(1)))
        let layers = Dictionary(uniqueKeysWithValues: (0..<1000).map { _ in (SessionID.random(), layer) })
        #expect(TrafficComposition(layers).classes.map(\.impairment.latency) == [.seconds(1)])
    }
}
