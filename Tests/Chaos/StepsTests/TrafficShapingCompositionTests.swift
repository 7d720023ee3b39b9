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

    private static let cgroups: [TargetFacts.Cgroup?] = [
        .init(path: "/a", id: 1), .init(path: "/a/b", id: 2), .init(path: "/ab", id: 3),
    ]

    /// Few values in each dimension, so that much meets.
    private static func randomBox(_ random: inout some RandomNumberGenerator) -> TrafficBox {
        let family = TrafficBox.Family.allCases.randomElement(using: &random) ?? .ipv4
        let networks: [String?] =
            family == .ipv4
            ? [nil, "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "192.168.0.0/16"]
            : [nil, "fd00::/8", "fd00::/64", "fd00::7", "2001:db8::/32"]
        let ports: [String?] = [nil, "53", "443", "384-447", "256-511", "512-1023", "0-32767"]
        let transport = ([nil] + TrafficBox.Transport.allCases).randomElement(using: &random) ?? nil
        let hasPorts = transport?.hasPorts ?? false
        func block() -> PortBlock? {
            hasPorts ? (ports.randomElement(using: &random) ?? nil).flatMap { PortBlock(text: $0) } : nil
        }
        return TrafficBox(
            family: family, cgroup: ([nil, nil] + cgroups).randomElement(using: &random) ?? nil,
            interface: [nil, nil, "eth0", "eth1"].randomElement(using: &random) ?? nil,
            destination: (networks.randomElement(using: &random) ?? nil).flatMap { IPNetwork(text: $0) },
            transport: transport, sourcePorts: block(), destinationPorts: block())
    }

    /// A single packet is the smallest of boxes.
    private static func randomPacket(_ random: inout some RandomNumberGenerator) -> TrafficBox {
        let family = TrafficBox.Family.allCases.randomElement(using: &random) ?? .ipv4
        let addresses =
            family == .ipv4
            ? ["10.1.2.3", "10.1.9.9", "10.9.9.9", "192.168.1.1", "8.8.8.8"]
            : ["fd00::7", "fd00::8", "fd00:1::1", "2001:db8::1", "2002::1"]
        let transport = TrafficBox.Transport.allCases.randomElement(using: &random) ?? .tcp
        let ports: [UInt16] = [53, 443, 400, 475, 550, 40_000]
        func port() -> PortBlock? {
            transport.hasPorts ? ports.randomElement(using: &random).map { PortBlock(lowest: $0, bits: 0) } : nil
        }
        return TrafficBox(
            family: family, cgroup: ([nil, .init(path: "/d", id: 4)] + cgroups).randomElement(using: &random) ?? nil,
            interface: ["eth0", "eth1", "eth2"].randomElement(using: &random),
            destination: addresses.randomElement(using: &random).flatMap { IPNetwork(text: $0) },
            transport: transport, sourcePorts: port(), destinationPorts: port())
    }

    @Test func `with any filters too, the first class that takes a packet has exactly the sessions that want it`() {
        var random = SystemRandomNumberGenerator()
        var hits = 0
        for _ in 0..<300 {
            let layers = Dictionary(
                uniqueKeysWithValues: (0..<Int.random(in: 1...5, using: &random)).map { _ in
                    let boxes = Set((0..<Int.random(in: 1...4, using: &random)).map { _ in Self.randomBox(&random) })
                    let impairment = TrafficImpairment(latency: .milliseconds(1))
                    return (
                        SessionID.random(), TrafficLayer(filter: TrafficFilter(boxes: boxes), impairment: impairment)
                    )
                })
            let classes = TrafficComposition(layers).classes
            for _ in 0..<50 {
                let packet = Self.randomPacket(&random).going(Bool.random(using: &random) ? .egress : .ingress)
                let wanted = Set(layers.filter { $1.boxes.contains { $0.contains(packet) } }.keys)
                // Of as many sessions there may be several: whichever the kernel asks first must be right.
                let taking = classes.filter { $0.boxes.contains { $0.contains(packet) } }
                let first = taking.filter { $0.sessions.count == taking.first?.sessions.count }
                #expect(
                    Set(first.map { Set($0.sessions) }) == (wanted.isEmpty ? [] : [wanted]), "\(packet) of \(layers)")
                hits += wanted.isEmpty ? 0 : 1
            }
        }
        #expect(hits > 1000)
    }

    /// Of some ports that random packets have.
    private static let spared = SparedPackets.all(with: [SparedPort(443, for: .ssh), SparedPort(400, for: .agent)])

    @Test func `what sessions spare falls to those that do not, and else to nobody`() {
        var random = SystemRandomNumberGenerator()
        var (hits, escapes) = (0, 0)
        for _ in 0..<300 {
            let choices: [Set<SparedPackets>] = [[], Self.spared, Self.spared.filter { $0.use != .dns }]
            let layers = Dictionary(
                uniqueKeysWithValues: (0..<Int.random(in: 1...4, using: &random)).map { _ in
                    let boxes = Set((0..<Int.random(in: 1...3, using: &random)).map { _ in Self.randomBox(&random) })
                    let filter = Bool.random(using: &random) ? .everything : TrafficFilter(boxes: boxes)
                    return (
                        SessionID.random(),
                        TrafficLayer(
                            direction: .both, filter: filter,
                            impairment: TrafficImpairment(latency: .milliseconds(1)),
                            spared: choices.randomElement(using: &random) ?? [])
                    )
                })
            let composition = TrafficComposition(layers)
            #expect(composition.classes.allSatisfy { !$0.sessions.isEmpty })
            #expect(Set(composition.classes.map(\.sessions)).count == composition.classes.count)
            let filters = composition.filters
            for _ in 0..<50 {
                let packet = Self.randomPacket(&random).going(Bool.random(using: &random) ? .egress : .ingress)
                let met = layers.filter { $1.boxes.contains { $0.contains(packet) } }
                let wanted = Set(met.filter { !$1.spared.contains { $0.contains(packet) } }.keys)
                let taking = filters.filter { $0.ranked.box.contains(packet) }
                let first = taking.filter { $0.ranked.preference == taking.first?.ranked.preference }
                let found = Set(first.map { Set($0.class?.sessions ?? []) })
                #expect(found == [wanted] || wanted.isEmpty && found.isEmpty, "\(packet) of \(layers)")
                hits += wanted.isEmpty ? 0 : 1
                escapes += wanted.count < met.count ? 1 : 0
            }
        }
        #expect(hits > 1000 && escapes > 300)
    }

    @Test func `a host and its units have room beside each other`() {
        func layer(_ filter: TrafficFilter, _ spared: Set<SparedPackets>) -> TrafficLayer {
            TrafficLayer(
                direction: spared.isEmpty ? .egress : .both, filter: filter,
                impairment: TrafficImpairment(latency: .milliseconds(1)), spared: spared)
        }
        let units = (1...3).map { layer(.everything.of(.init(path: "/\($0)", id: $0)), []) }
        let host = layer(.everything, Self.spared)
        #expect(TrafficComposition.obstacle(to: units + [host, host], over: Self.base(8)) == nil)
        #expect(TrafficComposition.obstacle(to: [host], over: Self.base(32)) == nil)
        #expect(
            TrafficComposition.obstacle(to: [host], over: Self.base(64))
                == .limit("more than 2048 filters on all interfaces together"))
        // Those that nobody is about have none.
        let named = TrafficFilter(
            boxes: Set(TrafficBox.Family.allCases.map { TrafficBox(family: $0, interface: "eth7") }))
        #expect(TrafficComposition.obstacle(to: [layer(named, Self.spared)], over: Self.base(64)) == nil)
        #expect(TrafficComposition.obstacle(to: units + [layer(named, Self.spared)], over: Self.base(32)) == nil)
        #expect(TrafficComposition.obstacle(to: [host, layer(named, Self.spared)], over: Self.base(64)) != nil)
    }

    @Test func `who is never hit counts on the interfaces that somebody is about`() throws {
        let excluded = try (0..<64).map {
            ExcludedEndpoint(try #require(IPNetwork(text: "10.0.0.\($0)")), .node)
        }
        let base = TrafficBase(interfaces: Self.base(64).interfaces, excluded: excluded)
        let impairment = TrafficImpairment(latency: .milliseconds(1))
        #expect(
            TrafficComposition.obstacle(to: [TrafficLayer(impairment: impairment)], over: base)
                == .limit("64 addresses that are never hit, on 64 interfaces"))
        let named = TrafficFilter(boxes: Set((0..<8).map { TrafficBox(family: .ipv4, interface: "eth\($0)") }))
        #expect(
            TrafficComposition.obstacle(to: [TrafficLayer(filter: named, impairment: impairment)], over: base) == nil)
    }

    private static func base(_ count: Int) -> TrafficBase {
        TrafficBase(
            interfaces: (0..<count).map {
                TrafficBase.Interface(
                    index: Int32($0 + 1), name: "eth\($0)", hadClsact: false, transmitQueueLength: 1000)
            })
    }

    @Test func `boxes meet as sets do`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let (one, other) = (Self.randomBox(&random), Self.randomBox(&random))
            let packet = Self.randomPacket(&random)
            let isInBoth = one.contains(packet) && other.contains(packet)
            #expect((one.meet(other)?.contains(packet) ?? false) == isInBoth)
            #expect(one.meet(other) == other.meet(one))
            #expect(one.meet(one) == one)
        }
    }

    @Test func `too many filters are told as such, whatever they meet in`() {
        func layer(_ boxes: [TrafficBox]) -> TrafficLayer {
            TrafficLayer(
                filter: TrafficFilter(boxes: Set(boxes)), impairment: TrafficImpairment(latency: .milliseconds(1)))
        }
        let byNetwork = layer(
            (0..<32).map { TrafficBox(family: .ipv4, destination: IPNetwork(text: "10.\($0).0.0/16")) })
        let byPort = layer(
            (0..<32).map {
                TrafficBox(family: .ipv4, transport: .tcp, destinationPorts: PortBlock(lowest: $0, bits: 0))
            })
        #expect(TrafficComposition.obstacle(to: [byNetwork], over: Self.base(1)) == nil)
        #expect(TrafficComposition.obstacle(to: [byPort], over: Self.base(64)) == nil)
        #expect(
            TrafficComposition.obstacle(to: [byNetwork, byPort], over: Self.base(1))
                == .limit("more than 512 filters on an interface"))
        #expect(
            TrafficComposition.obstacle(to: [byNetwork, byNetwork, byNetwork], over: Self.base(128))
                == .limit("more than 2048 filters on all interfaces together"))
    }

    @Test func `too many sets of packets are told as such`() {
        func layer(_ port: UInt16) -> TrafficLayer {
            let box = TrafficBox(family: .ipv4, transport: .tcp, destinationPorts: PortBlock(lowest: port, bits: 0))
            return TrafficLayer(
                filter: TrafficFilter(boxes: [box]), impairment: TrafficImpairment(latency: .milliseconds(1)))
        }
        #expect(TrafficComposition.obstacle(to: (0..<32).map(layer), over: Self.base(1)) == nil)
        #expect(
            TrafficComposition.obstacle(to: (0..<33).map(layer), over: Self.base(1))
                == .limit("33 different sets of packets, and 32 are the most"))
    }

    @Test func `what no queue can do to the same packets is told, and to different ones it can`() throws {
        let bursts = try #require(
            LossBursts(loss: Percentage(5)!, length: 10, lossWhileBad: .whole, lossWhileGood: .none))
        func layer(_ port: UInt16, _ impairment: TrafficImpairment) -> TrafficLayer {
            let box = TrafficBox(family: .ipv4, transport: .tcp, destinationPorts: PortBlock(lowest: port, bits: 0))
            return TrafficLayer(filter: TrafficFilter(boxes: [box]), impairment: impairment)
        }
        let hold = DelaySpread.hold(Percentage(25)!, for: .milliseconds(10))
        let contradictions = [
            (TrafficImpairment(bursts: [bursts]), TrafficImpairment(bursts: [bursts])),
            (
                TrafficImpairment(bursts: [bursts]),
                TrafficImpairment(loss: PacketChance(Percentage(5)!, correlation: Percentage(5)))
            ),
            (TrafficImpairment(spreads: [hold]), TrafficImpairment(rate: BitRate(1_000_000))),
            (
                TrafficImpairment(latency: .seconds(2), jitter: .seconds(2)),
                TrafficImpairment(spreads: [.normal(deviation: .milliseconds(50))])
            ),
        ]
        for (one, other) in contradictions {
            #expect(TrafficComposition.obstacle(to: [layer(1, one), layer(2, other)], over: Self.base(1)) == nil)
            for layers in [[layer(1, one), layer(1, other)], [layer(1, other), layer(1, one)]] {
                guard case .contradiction? = TrafficComposition.obstacle(to: layers, over: Self.base(1)) else {
                    Issue.record("\(one) with \(other) is no contradiction")
                    continue
                }
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
