import ChaosModel
import Glibc
import Netlink
import Steps
import Testing

@Suite(
    .serialized,
    .enabled(if: TrafficShapingWorld.isPossible, "needs root and a kernel with netem, flower, mirred and ifb"))
struct TrafficShapingKernelTests {
    private static let ipv4 = TrafficFilter(boxes: [TrafficBox(family: .ipv4)])
    private static let ipv6 = TrafficFilter(boxes: [TrafficBox(family: .ipv6)])
    /// What goes through eth0, on both of its addresses.
    private static let first = TrafficFilter(boxes: [
        TrafficBox(family: .ipv4, destination: IPNetwork(text: "10.9.1.0/24")),
        TrafficBox(family: .ipv6, destination: IPNetwork(text: "fd09:1::2"), transport: .icmp),
    ])
    /// The same, said otherwise.
    private static let onFirst = TrafficFilter(
        boxes: Set(TrafficBox.Family.allCases.map { TrafficBox(family: $0, interface: "eth0") }))
    private static let roots = [
        "", "root handle 8: fq_codel target 7ms interval 77ms limit 777", "root handle 8: fq limit 777",
        "root handle 8: htb default 1",
    ]

    @Test(arguments: roots)
    func `sessions that begin, end and crash in any order delay each packet by their sum`(root: String) throws {
        let world = try TrafficShapingWorld()
        if !root.isEmpty {
            for name in ["eth0", "eth1"] { try world.inTarget("tc qdisc replace dev \(name) \(root)") }
        }
        if root.contains("htb") {
            // Without a class of its own, what htb sends is counted in its configuration.
            for name in ["eth0", "eth1"] {
                try world.inTarget("tc class add dev \(name) parent 8: classid 8:1 htb rate 1gbit")
                try world.inTarget("tc qdisc add dev \(name) parent 8:1 sfq perturb 10")
            }
        }
        let before = try world.dump()
        var shaper = try world.shaper()
        let excluded = try #require(IPNetwork(text: "10.9.2.2"))
        let base = try shaper.observe(excluding: [ExcludedEndpoint(excluded, .configured)])
        #expect(base.interfaces.map(\.name).sorted() == ["eth0", "eth1"])

        let candidates = [
            TrafficLayer.latency(20), .latency(40, Self.ipv4), .latency(80, Self.onFirst), .latency(160, Self.ipv6),
            TrafficLayer(
                direction: .both, filter: Self.first, impairment: TrafficImpairment(latency: .milliseconds(30))),
            TrafficLayer(direction: .ingress, impairment: TrafficImpairment(latency: .milliseconds(10))),
        ].map { (SessionID.random(), $0) }
        var layers: [SessionID: TrafficLayer] = [:]
        for _ in 0..<6 {
            let (session, layer) = try #require(candidates.randomElement())
            layers[session] = layers[session] == nil ? layer : nil
            if Bool.random() {
                // The process dies on the way, and another one goes on.
                let budget = MessageBudget(.random(in: 0..<30))
                do {
                    try world.settle(world.shaper(budget: budget), to: layers, from: base)
                } catch TrafficError.netlink(MessageBudget.killed) {}
                shaper = try world.shaper()
            }
            #expect(try world.settle(shaper, to: layers, from: base) == [])
            #expect(try shaper.verify(layers, base: base) == [])
            for address in TrafficShapingWorld.addresses {
                let echo = TrafficBox(
                    family: address.contains(":") ? .ipv6 : .ipv4,
                    interface: TrafficShapingWorld.addresses.prefix(2).contains(address) ? "eth0" : "eth1",
                    destination: IPNetwork(text: address), transport: .icmp)
                let hit = [echo, echo.going(.ingress)].flatMap { packet in
                    layers.values.filter {
                        packet.destination != excluded && $0.boxes.contains { $0.contains(packet) }
                    }
                }
                let expected = hit.map(\.impairment.latency.seconds).reduce(0, +) * 1000
                let measured = try world.roundTrip(address, below: expected + 20)
                #expect(measured >= expected && measured < expected + 20, "\(address) with \(layers.count) layers")
            }
        }
        try world.settle(shaper, to: [:], from: base)
        #expect(try shaper.verify([:], base: base) == [])
        #expect(try world.dump() == before)
    }

    /// Of a cgroup nobody asks here whether it is there.
    private static let sender = TargetFacts.Cgroup(path: "/squall-test/a", id: 1 << 40)
    private static let otherSender = TargetFacts.Cgroup(path: "/squall-test/a/b", id: 2 << 40)

    /// Each is what there was and what is asked for then.
    private static let transitions: [(from: [TrafficLayer], to: [TrafficLayer])] = [
        ([], [.latency(5)]),
        ([.latency(5)], []),
        ([.latency(5)], [.latency(5), .latency(7, ipv4)]),
        ([.latency(5), .latency(7, ipv4), .latency(9, ipv6)], [.latency(5)]),
        ([.latency(5), .latency(7, ipv4)], []),
        (
            [.latency(5, first), TrafficLayer(direction: .both, impairment: .init(latency: .milliseconds(7)))],
            [TrafficLayer(direction: .ingress, filter: ipv6, impairment: .init(latency: .milliseconds(9)))]
        ),
        ([.latency(5), .latency(7, ipv4.of(sender))], [.latency(5), .latency(9, .everything.of(otherSender))]),
        ([.latency(5, ipv4.of(sender))], [.latency(5, ipv4.of(sender)), .latency(7).sparing(ssh)]),
    ]

    private static let ssh = SparedPackets.all(with: [.ssh]).filter { $0.use == .ssh }

    @Test(arguments: transitions.indices)
    func `whatever message a process is killed before, its successor puts all right`(index: Int) throws {
        let world = try TrafficShapingWorld()
        let before = try world.dump()
        let base = try world.shaper().observe(excluding: Array(ExcludedEndpoint.metadataServices.suffix(1)))
        let sessions = (0..<3).map { _ in SessionID.random() }
        let transition = Self.transitions[index]
        let first = Dictionary(uniqueKeysWithValues: zip(sessions, transition.from))
        let second = Dictionary(uniqueKeysWithValues: zip(sessions, transition.to))
        for successor in [[:], second] {
            var messages = 0
            while true {
                try world.settle(world.shaper(), to: first, from: base)
                let budget = MessageBudget(messages)
                do {
                    try world.settle(world.shaper(budget: budget), to: second, from: base)
                } catch TrafficError.netlink(MessageBudget.killed) {}
                let heir = try world.shaper()
                #expect(try world.settle(heir, to: successor, from: base) == [])
                #expect(try heir.verify(successor, base: base) == [], "killed before message \(messages)")
                if successor.isEmpty {
                    #expect(try world.dump() == before, "killed before message \(messages)")
                }
                if !budget.isExhausted { break }
                messages += 1
            }
            try world.settle(world.shaper(), to: [:], from: base)
            #expect(try world.dump() == before)
            #expect(messages > 0)
        }
    }

    @Test func `of a network that many are in, what one cgroup sends can be hit alone`() throws {
        let world = try TrafficShapingWorld()
        let before = try world.dump()
        let excluded = try #require(IPNetwork(text: "10.9.2.2"))
        let base = try world.shaper().observe(excluding: [ExcludedEndpoint(excluded, .configured)])
        let senders = [nil] + (try ["/one", "/one/below", "/other"].map(world.makeCgroup))
        let candidates = try [
            TrafficLayer.latency(20, .everything.of(#require(senders[1]))),
            .latency(40, .everything.of(#require(senders[2]))),
            .latency(80, Self.ipv4.of(#require(senders[3]))),
            .latency(160, Self.onFirst.of(#require(senders[3]))),
            .latency(320, Self.ipv6),
        ].map { (SessionID.random(), $0) }
        var shaper = try world.shaper()
        var layers: [SessionID: TrafficLayer] = [:]
        for round in 0..<6 {
            let (session, layer) = candidates[round < candidates.count ? round : .random(in: candidates.indices)]
            layers[session] = layers[session] == nil ? layer : nil
            if Bool.random() {
                do {
                    try world.settle(world.shaper(budget: MessageBudget(.random(in: 0..<30))), to: layers, from: base)
                } catch TrafficError.netlink(MessageBudget.killed) {}
                shaper = try world.shaper()
            }
            #expect(try world.settle(shaper, to: layers, from: base) == [])
            #expect(try shaper.verify(layers, base: base) == [])
            for (sender, address) in senders.flatMap({ one in TrafficShapingWorld.addresses.map { (one, $0) } }) {
                let packet = TrafficBox(
                    family: address.contains(":") ? .ipv6 : .ipv4, cgroup: sender,
                    interface: TrafficShapingWorld.addresses.prefix(2).contains(address) ? "eth0" : "eth1",
                    destination: IPNetwork(text: address), transport: .icmp)
                let hit = layers.values.filter {
                    packet.destination != excluded && $0.boxes.contains { $0.contains(packet) }
                }
                let expected = hit.map(\.impairment.latency.seconds).reduce(0, +) * 1000
                let measured = try world.roundTrip(address, below: expected + 20, from: sender)
                #expect(
                    measured >= expected && measured < expected + 20,
                    "\(address) from \(sender?.path ?? "elsewhere") with \(layers.values.map(\.filter.boxes))")
            }
        }
        try world.settle(shaper, to: [:], from: base)
        #expect(try shaper.verify([:], base: base) == [])
        #expect(try world.dump() == before)
    }

    @Test func `what a host is reached by is spared, and units of it are hit as they were`() throws {
        let world = try TrafficShapingWorld()
        let before = try world.dump()
        let spared = SparedPackets.all(with: [.ssh, SparedPort(9443, for: .agent)])
        var shaper = try world.shaper()
        let base = try shaper.observe()
        let (host, naming, unit) = (SessionID.random(), SessionID.random(), SessionID.random())
        let sender = try world.makeCgroup("/unit")
        // What the kernel itself sends now and then is no TCP.
        func layer(
            _ spared: Set<SparedPackets>, to port: String? = nil, of cgroup: TargetFacts.Cgroup? = nil
        ) -> TrafficLayer {
            let boxes = TrafficBox.Family.allCases.map {
                TrafficBox(
                    family: $0, cgroup: cgroup, transport: .tcp, destinationPorts: port.flatMap { PortBlock(text: $0) })
            }
            return TrafficLayer(
                direction: spared.isEmpty ? .egress : .both, filter: TrafficFilter(boxes: Set(boxes)),
                impairment: TrafficImpairment(latency: .milliseconds(1)), spared: spared)
        }
        let all = [
            host: layer(spared), naming: layer(spared.filter { $0.use != .dns }, to: "53"), unit: layer([], of: sender),
        ]
        func counts(_ layers: [SessionID: TrafficLayer]) throws -> [SessionID: UInt32] {
            var sums: [SessionID: UInt32] = [:]
            for count in try shaper.counts(of: layers) {
                for session in count.sessions { sums[session, default: 0] += count.packets }
            }
            return sums
        }
        /// Whose packets a connection has some of: nobody listens, so it is one and the answer that it is refused. On a busy
        /// machine there are late ones of others among them.
        func hit(
            _ layers: [SessionID: TrafficLayer], _ expected: Set<SessionID>, _ connect: () throws -> Void
        ) throws -> Set<SessionID> {
            var found: Set<SessionID> = []
            for _ in 0..<5 {
                let earlier = try counts(layers)
                try connect()
                found = Set(try counts(layers).filter { $0.value > earlier[$0.key] ?? 0 }.keys)
                if found == expected { break }
            }
            return found
        }
        for layers in [all.filter { $0.key == host }, all.filter { $0.key != unit }, all] {
            try world.settle(shaper, to: layers, from: base)
            shaper = try world.shaper()
            #expect(try shaper.verify(layers, base: base) == [])
            for address in ["10.9.1.2", "fd09:2::2"] {
                for (port, isSpared) in [(80, false), (22, true), (53, true), (853, true), (9443, false)] {
                    for cgroup in [nil, sender] {
                        var expected: Set<SessionID> = isSpared ? [] : [host]
                        if port == 53, layers[naming] != nil { expected.insert(naming) }
                        if cgroup != nil, layers[unit] != nil { expected.insert(unit) }
                        let found = try hit(layers, expected) {
                            try world.connect(to: address, port: port, from: cgroup)
                        }
                        #expect(found == expected, "to port \(port) of \(address) from \(cgroup?.path ?? "elsewhere")")
                    }
                }
            }
            for (port, isSpared) in [(80, false), (22, true), (9443, true), (53, false)] {
                let expected: Set<SessionID> = isSpared ? [] : [host]
                #expect(
                    try hit(layers, expected) { try world.connectBack(port: port) } == expected,
                    "to port \(port) of the host")
            }
        }
        try world.settle(shaper, to: [:], from: base)
        #expect(try world.dump() == before)
    }

    @Test func `gateways and whoever else is excluded are never hit`() throws {
        let world = try TrafficShapingWorld()
        try world.inTarget("ip route add default via 10.9.1.2")
        try world.inTarget("ip route add default via fd09:1::2")
        let before = try world.dump()
        let shaper = try world.shaper()
        let other = ExcludedEndpoint(try #require(IPNetwork(text: "fd09:2::/64")), .configured)
        let base = try shaper.observe(excluding: [other])
        #expect(
            base.excluded.map { "\($0.network) \($0.role)" } == [
                "10.9.1.2 gateway", "fd09:1::2 gateway", "fd09:2::/64 configured",
            ])
        let session = SessionID.random()
        let all = TrafficLayer(direction: .both, impairment: TrafficImpairment(latency: .milliseconds(100)))
        try world.settle(shaper, to: [session: all], from: base)
        for address in ["10.9.1.2", "fd09:1::2", "fd09:2::2"] {
            #expect(try world.roundTrip(address, below: 50) < 50, "\(address)")
        }
        #expect(try world.roundTrip("10.9.2.2") >= 200)
        // Where nobody would be hit anyway there is nothing to exclude.
        let one = TrafficFilter(boxes: [
            TrafficBox(family: .ipv4, destination: IPNetwork(text: "10.9.2.0/24"), transport: .udp)
        ])
        try world.settle(shaper, to: [session: .latency(10, one)], from: base)
        #expect(try !world.inTarget("tc filter show dev eth0 egress").contains("5000"))
        try world.settle(shaper, to: [:], from: base)
        #expect(try world.dump() == before)
    }

    @Test func `neighbours are found although everything is lost`() throws {
        let world = try TrafficShapingWorld()
        let before = try world.dump()
        let shaper = try world.shaper()
        let base = try shaper.observe()
        let all = TrafficLayer(direction: .both, impairment: TrafficImpairment(loss: PacketChance(.whole)))
        try world.settle(shaper, to: [.random(): all], from: base)
        for address in ["10.9.1.2", "fd09:1::2"] {
            try world.inTarget("ip neigh flush to \(address)")
            try world.inTarget("sh -c 'ping -q -c 1 -W 1 \(address) || true'")
            #expect(try world.inTarget("ip neigh show to \(address)").contains("lladdr"), "\(address)")
        }
        try world.settle(shaper, to: [:], from: base)
        #expect(try world.dump() == before)
    }

    @Test func `groups are told although everything is lost`() throws {
        let world = try TrafficShapingWorld()
        let before = try world.dump()
        let shaper = try world.shaper()
        let base = try shaper.observe()
        func reports() throws -> Int {
            let line = try world.inTarget("cat /proc/net/snmp6").split(separator: "\n")
                .first { $0.hasPrefix("Icmp6OutMLDv2Reports") }
            return try #require(line?.split(whereSeparator: \.isWhitespace).last.flatMap { Int($0) })
        }
        let all = TrafficLayer(direction: .both, impairment: TrafficImpairment(loss: PacketChance(.whole)))
        let layers = [SessionID.random(): all]
        try world.settle(shaper, to: layers, from: base)
        let earlier = try reports()
        try world.inTarget("ip addr add fd09:1::77/64 dev eth0 nodad")
        var tries = 0
        while try reports() == earlier, tries < 50 {
            usleep(100_000)
            tries += 1
        }
        #expect(try reports() > earlier)
        #expect(try shaper.counts(of: layers).allSatisfy { $0.packets == 0 })
        try world.inTarget("ip addr del fd09:1::77/64 dev eth0")
        try world.settle(shaper, to: [:], from: base)
        #expect(try world.dump() == before)
    }

    @Test(arguments: ["10.9.3.2", "fd09:3::2"])
    func `that packets are too large is heard although all that arrives is lost`(address: String) throws {
        let world = try TrafficShapingWorld()
        try world.makeNarrowWay()
        let before = try world.dump()
        let shaper = try world.shaper()
        let base = try shaper.observe()
        let all = TrafficLayer(direction: .ingress, impairment: TrafficImpairment(loss: PacketChance(.whole)))
        try world.settle(shaper, to: [.random(): all], from: base)
        #expect(try !world.inTarget("ip route get \(address)").contains("mtu 1300"))
        try world.inTarget("sh -c 'ping -q -M do -s 1400 -c 2 -i 0.2 -W 1 \(address) || true'")
        #expect(try world.inTarget("ip route get \(address)").contains("mtu 1300"))
        // Nothing else is.
        #expect(throws: ShellFailure.self) { try world.inTarget("ping -q -c 2 -i 0.2 -W 1 10.9.1.2") }
        try world.settle(shaper, to: [:], from: base)
        #expect(try world.dump() == before)
    }

    @Test func `an interface that no layer names is left alone`() throws {
        let world = try TrafficShapingWorld()
        let before = try world.dump()
        let shaper = try world.shaper()
        let base = try shaper.observe()
        try world.settle(shaper, to: [.random(): .latency(30, Self.onFirst)], from: base)
        #expect(try world.inTarget("tc filter show dev eth0 egress").contains("squall"))
        #expect(try !world.inTarget("tc qdisc show dev eth1").contains("clsact"))
        try world.settle(shaper, to: [:], from: base)
        #expect(try world.dump() == before)
    }

    @Test func `clsact and filters of others survive, and are asked as before`() throws {
        let world = try TrafficShapingWorld()
        try world.inTarget("tc qdisc add dev eth0 clsact")
        try world.inTarget("tc filter add dev eth0 egress protocol ip pref 7 matchall action continue")
        try world.inTarget("tc filter add dev eth0 ingress protocol all pref 49151 matchall action ok")
        let before = try world.dump()
        let shaper = try world.shaper()
        let base = try shaper.observe()
        let layers = [SessionID.random(): TrafficLayer.latency(30)]
        try world.settle(shaper, to: layers, from: base)
        #expect(try world.roundTrip("10.9.1.2") >= 30)
        try world.settle(shaper, to: [:], from: base)
        #expect(try world.dump() == before)
    }

    @Test func `clsact stays when somebody has added a filter meanwhile`() throws {
        let world = try TrafficShapingWorld()
        let shaper = try world.shaper()
        let base = try shaper.observe()
        try world.settle(shaper, to: [.random(): .latency(1)], from: base)
        try world.inTarget("tc filter add dev eth0 egress protocol ip matchall action ok")
        #expect(try world.settle(shaper, to: [:], from: base) == [])
        #expect(try shaper.verify([:], base: base) == [])
        let filters = try world.inTarget("tc filter show dev eth0 egress")
        #expect(filters.contains("matchall") && !filters.contains("squall") && !filters.contains("60000"))
        #expect(try !world.inTarget("tc qdisc show dev eth1").contains("clsact"))
    }

    @Test func `a namespace without room for our filters is refused`() throws {
        let world = try TrafficShapingWorld()
        try world.inTarget("tc qdisc add dev eth1 clsact")
        try world.inTarget("tc filter add dev eth1 egress protocol ip pref 50010 matchall action ok")
        #expect(throws: TrafficError.preferenceTaken(interface: "eth1", preference: 50_010)) {
            try world.shaper().observe()
        }
        // They would not see what is excluded.
        for hook in ["egress", "ingress"] {
            try world.inTarget("tc filter del dev eth1 egress")
            try world.inTarget("tc filter add dev eth1 \(hook) protocol ip pref 61000 matchall action ok")
            #expect(throws: TrafficError.preferenceTaken(interface: "eth1", preference: 61_000)) {
                try world.shaper().observe()
            }
        }
        try world.inTarget("tc qdisc del dev eth1 clsact")
        try world.inTarget("tc qdisc add dev eth1 ingress")
        #expect(throws: TrafficError.ingressQdisc(interface: "eth1")) { try world.shaper().observe() }
        try world.inTarget("ip link set eth0 down")
        try world.inTarget("ip link set eth1 down")
        #expect(throws: TrafficError.noInterface) { try world.shaper().observe() }
    }

    @Test(arguments: [
        ("tc qdisc change dev IFB root netem delay 3ms loss 10%", "IFB has netem latency 0.003 seconds"),
        ("tc qdisc replace dev IFB root tbf rate 1mbit burst 10k latency 10ms", "IFB has tbf instead"),
        ("tc filter del dev eth0 egress pref 59997", "eth0 lacks the filter at egress preference 59997"),
        ("tc filter del dev eth1 egress pref 50001", "eth1 lacks the filter at egress preference 50001 that excludes"),
        ("ip link set IFB down", "IFB is down"),
        ("ip link del IFB", "IFB is missing"),
        ("tc qdisc del dev eth1 clsact", "eth1 has no clsact"),
    ])
    func `what others change in our objects is told and put right`(command: String, difference: String) throws {
        let world = try TrafficShapingWorld()
        let before = try world.dump()
        let shaper = try world.shaper()
        let base = try shaper.observe(excluding: ExcludedEndpoint.metadataServices)
        let layers = [SessionID.random(): TrafficLayer.latency(30)]
        let ifb = try #require(TrafficComposition(layers).classes.first?.interfaceName)
        try world.settle(shaper, to: layers, from: base)
        try world.inTarget(command.replacing("IFB", with: ifb))
        let found = try shaper.verify(layers, base: base)
        #expect(found.contains { $0.hasPrefix(difference.replacing("IFB", with: ifb)) }, "\(found)")
        #expect(try world.settle(shaper, to: layers, from: base) == found)
        #expect(try shaper.verify(layers, base: base) == [])
        #expect(try world.roundTrip("10.9.1.2") >= 30)
        #expect(try world.roundTrip("fd09:2::2") >= 30)
        #expect(try world.settle(shaper, to: [:], from: base) == [])
        #expect(try world.dump() == before)
    }

    @Test func `an obstacle that somebody puts in the way of a layer does not stop its end`() throws {
        let world = try TrafficShapingWorld()
        let shaper = try world.shaper()
        let base = try shaper.observe()
        try world.settle(shaper, to: [.random(): .latency(30)], from: base)
        try world.inTarget("tc qdisc del dev eth1 clsact")
        try world.inTarget("tc qdisc add dev eth1 ingress")
        let drift = try world.settle(shaper, to: [:], from: base)
        #expect(drift == ["eth1 has an ingress qdisc, which leaves no room for clsact"])
        #expect(try shaper.verify([:], base: base) == [])
        #expect(try world.inTarget("ip link show type ifb").isEmpty)
    }

    @Test func `packets that wait when a session ends still arrive`() throws {
        let world = try TrafficShapingWorld()
        let shaper = try world.shaper()
        let base = try shaper.observe()
        try world.settle(shaper, to: [.random(): .latency(5000)], from: base)
        try world.inTarget("sh -c 'ping -q -c 100 -i 0.005 -W 20 10.9.1.2 > /tmp/\(world.target) & sleep 0.3'")
        #expect(try shaper.converge(to: [:], from: base, giveUpDraining: false) != .settled(drift: []))
        try world.settle(shaper, to: [:], from: base)
        try shell("while pgrep -f '[p]ing -q -c 100 -i 0.005' > /dev/null; do sleep 0.1; done")
        let output = try shell("cat /tmp/\(world.target); rm /tmp/\(world.target)")
        #expect(output.contains("100 packets transmitted, 100 received"), "\(output)")
    }

    @Test func `an ifb that does not drain is deleted when told to give up`() throws {
        let world = try TrafficShapingWorld()
        let before = try world.dump()
        let shaper = try world.shaper()
        let base = try shaper.observe()
        try world.settle(shaper, to: [.random(): .latency(60_000)], from: base)
        try world.inTarget("sh -c 'ping -q -c 1 -w 1 10.9.1.2 || true'")
        #expect(
            try shaper.converge(to: [:], from: base, giveUpDraining: false) == .draining(retryAfter: .milliseconds(500))
        )
        #expect(try world.roundTrip("10.9.1.2", below: 20) < 20)
        #expect(try shaper.converge(to: [:], from: base, giveUpDraining: true) == .settled(drift: []))
        #expect(try world.dump() == before)
    }

    @Test func `interfaces that vanish are forgotten, and new ones left alone`() throws {
        let world = try TrafficShapingWorld()
        let shaper = try world.shaper()
        let base = try shaper.observe()
        let layers = [SessionID.random(): TrafficLayer.latency(30)]
        try world.settle(shaper, to: layers, from: base)
        try world.inTarget("ip link del eth1")
        try world.inTarget("ip link add eth2 up type dummy")
        #expect(try shaper.verify(layers, base: base) == [])
        #expect(try world.settle(shaper, to: layers, from: base) == [])
        #expect(try !world.inTarget("tc qdisc show dev eth2").contains("clsact"))
        #expect(try world.settle(shaper, to: [:], from: base) == [])
        #expect(try world.inTarget("ip link show type ifb").isEmpty)
        #expect(try !world.inTarget("tc qdisc show").contains("clsact"))
    }

    @Test func `an interface of another kind with one of our names is an error`() throws {
        let world = try TrafficShapingWorld()
        let shaper = try world.shaper()
        let base = try shaper.observe()
        let layers = [SessionID.random(): TrafficLayer.latency(30)]
        let name = try #require(TrafficComposition(layers).classes.first?.interfaceName)
        try world.inTarget("ip link add \(name) type dummy")
        #expect(throws: TrafficError.nameTaken(name)) {
            try shaper.converge(to: layers, from: base, giveUpDraining: false)
        }
    }
}
