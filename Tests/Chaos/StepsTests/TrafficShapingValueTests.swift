import ChaosModel
import LinuxSystem
import Netlink
import Steps
import Testing

struct TrafficShapingValueTests {
    private static let half = percentage(50)
    private static let quarter = percentage(25)

    private static func percentage(_ value: Double) -> Percentage {
        guard let percentage = Percentage(value) else { preconditionFailure("\(value) is no percentage") }
        return percentage
    }

    private static func chance(_ percent: Double, correlation: Percentage? = nil) -> PacketChance {
        PacketChance(percentage(percent), correlation: correlation)
    }

    @Test func `latencies and jitters add up, and the strongest correlation of a jitter is taken`() {
        let steady = TrafficImpairment(latency: .milliseconds(100), correlation: Percentage(90))
        let shaky = TrafficImpairment(latency: .milliseconds(20), jitter: .milliseconds(5), correlation: Self.quarter)
        let shakier = TrafficImpairment(latency: .milliseconds(3), jitter: .milliseconds(1), correlation: Self.half)
        #expect(
            shaky.combined(with: shakier)
                == TrafficImpairment(latency: .milliseconds(23), jitter: .milliseconds(6), correlation: Self.half))
        #expect(
            steady.combined(with: shaky)
                == TrafficImpairment(latency: .milliseconds(120), jitter: .milliseconds(5), correlation: Self.quarter))
    }

    @Test func `chances are those of independent events, and the lowest rate is the rate of all`() {
        let some = TrafficImpairment(
            loss: Self.chance(50, correlation: Self.quarter), duplication: Self.chance(25),
            rate: BitRate(2000))
        let more = TrafficImpairment(
            loss: Self.chance(50), corruption: Self.chance(50), rate: BitRate(1000))
        let both = TrafficImpairment(
            loss: Self.chance(75, correlation: Self.quarter), duplication: Self.chance(25),
            corruption: Self.chance(50), rate: BitRate(1000))
        #expect(some.combined(with: more) == both)
        #expect(more.combined(with: some) == both)
        let none = Self.chance(100)
        #expect(some.combined(with: TrafficImpairment(loss: none)).loss?.percent == Percentage(100))
    }

    @Test func `the order of combining does not matter`() {
        let all = [
            TrafficImpairment(latency: .milliseconds(100), correlation: Percentage(90)),
            TrafficImpairment(latency: .milliseconds(20), jitter: .milliseconds(5), correlation: Self.quarter),
            TrafficImpairment(latency: .milliseconds(3), jitter: .milliseconds(1)),
            TrafficImpairment(spreads: [.hold(Self.half, for: .milliseconds(7))]),
            TrafficImpairment(spreads: [.normal(deviation: .milliseconds(7))]),
        ]
        for first in all {
            for second in all {
                #expect(first.combined(with: second) == second.combined(with: first))
                for third in all {
                    #expect(
                        first.combined(with: second).combined(with: third)
                            == first.combined(with: second.combined(with: third)))
                }
            }
        }
    }

    @Test(arguments: [
        (Duration.milliseconds(1), UInt32(10_000)), (.milliseconds(100), 10_000), (.milliseconds(250), 25_000),
        (.seconds(1), 100_000), (.seconds(600), 100_000),
    ])
    func `a queue holds a hundred thousand packets a second, within bounds`(latency: Duration, limit: UInt32) {
        #expect(TrafficImpairment(latency: latency).netem == Netem(limit: limit, latency: latency))
    }

    @Test(arguments: [
        (Int64(8000), Duration.zero, UInt32(32)), (1_000_000, .zero, 42), (1_000_000, .seconds(2), 207),
        (100_000_000_000, .zero, 10_000),
    ])
    func `behind a rate a queue holds what goes in half a second`(rate: Int64, latency: Duration, limit: UInt32) {
        let netem = TrafficImpairment(latency: latency, rate: BitRate(rate)).netem
        #expect((netem.limit, netem.rate) == (limit, UInt64(rate / 8)))
    }

    @Test func `where all is lost nothing is sent twice`() {
        let both = TrafficImpairment(loss: PacketChance(.whole), duplication: Self.chance(50))
        #expect(both.netem == TrafficImpairment(loss: PacketChance(.whole)).netem)
        let some = TrafficImpairment(loss: Self.chance(99), duplication: Self.chance(50))
        #expect(some.netem.duplication.probability > 0)
    }

    @Test func `a share of the packets waits longer, beside what others do to them`() throws {
        let hold = TrafficImpairment(spreads: [.hold(Self.quarter, for: .milliseconds(10))])
        let alone = try #require(hold.delayTable).deviations
        #expect(Set(alone) == [0, 1])
        #expect(alone.count { $0 == 1 } == alone.count / 4)
        #expect((hold.netem.latency, hold.netem.jitter) == (.zero, .milliseconds(10)))

        let shaky = TrafficImpairment(latency: .milliseconds(100), jitter: .milliseconds(30))
        let both = shaky.combined(with: hold)
        #expect((both.netem.latency, both.netem.jitter) == (.milliseconds(100), .milliseconds(40)))
        // In milliseconds. Evenly drawn from ±30, and of one in four 10 more.
        let together = try #require(both.delayTable).deviations.map { $0 * 40 }
        #expect(together.allSatisfy { -30...40 ~= $0 })
        let mean = together.reduce(0, +) / Double(together.count)
        #expect(abs(mean - 2.5) < 0.05)
        let beyond = Double(together.count { $0 > 30 }) / Double(together.count)
        #expect(abs(beyond - 0.25 * 10 / 60) < 0.002)
    }

    @Test func `normally distributed delays are so, alone and together`() throws {
        let some = TrafficImpairment(latency: .milliseconds(100), spreads: [.normal(deviation: .milliseconds(3))])
        let more = TrafficImpairment(latency: .milliseconds(10), spreads: [.normal(deviation: .milliseconds(4))])
        for (impairment, deviation) in [(some, 3.0), (more, 4), (some.combined(with: more), 5)] {
            let most = impairment.netem.jitter.seconds * 1000
            let deviations = try #require(impairment.delayTable).deviations.map { $0 * most }
            let count = Double(deviations.count)
            #expect(abs(deviations.reduce(0, +) / count) < 0.01)
            #expect(abs((deviations.map { $0 * $0 }.reduce(0, +) / count).squareRoot() - deviation) < 0.02)
            // The quantiles that any table has.
            for (quantile, share) in [(-1.0, 0.158655), (0.5, 0.691462), (2, 0.977250)] {
                let below = Double(deviations.count { $0 < quantile * deviation }) / count
                #expect(abs(below - share) < 0.003, "\(quantile) deviations of \(deviation)")
            }
        }
    }

    @Test func `bursts lose what was asked, and another loss takes of what they leave`() throws {
        let bursts = try #require(
            LossBursts(loss: Percentage(20)!, length: 10, lossWhileBad: Percentage(90)!, lossWhileGood: Percentage(10)!)
        )
        let badShare = bursts.toBad.value / (bursts.toBad.value + bursts.toGood.value)
        #expect(abs(badShare * 90 + (1 - badShare) * 10 - 20) < 1e-9)
        #expect(bursts.toGood == Percentage(10))
        let both = TrafficImpairment(bursts: [bursts]).combined(with: TrafficImpairment(loss: Self.chance(50))).netem
        let model = try #require(both.lossBursts)
        #expect(both.loss == .none)
        for (share, wanted) in [(model.lossWhileBad, 0.95), (model.lossWhileGood, 0.55)] {
            #expect(abs(Double(share) / Double(UInt32.max) - wanted) < 1e-9)
        }
        // One packet after the other could not turn bad often enough.
        #expect(LossBursts(loss: Percentage(90)!, length: 2, lossWhileBad: .whole, lossWhileGood: .none) == nil)
        #expect(LossBursts(loss: Self.half, length: 2, lossWhileBad: Self.half, lossWhileGood: .none) == nil)
    }

    @Test func `jitter is cut to what the kernel keeps, and correlation is a share of 32 bits`() {
        let netem = TrafficImpairment(latency: .seconds(9), jitter: .seconds(9), correlation: Percentage(100)).netem
        #expect(netem.jitter == .nanoseconds(Int64(Int32.max)))
        #expect(netem.latencyCorrelation == .max)
    }

    @Test(arguments: [
        TrafficLayer(impairment: TrafficImpairment(latency: .milliseconds(100))),
        TrafficLayer(
            filter: TrafficFilter(boxes: [TrafficBox(family: .ipv6)]),
            impairment: TrafficImpairment(latency: .nanoseconds(1), jitter: .seconds(90), correlation: Percentage(12.5))
        ),
        TrafficLayer(direction: .ingress, impairment: TrafficImpairment(latency: .milliseconds(1))),
        TrafficLayer(
            direction: .both,
            filter: TrafficFilter(boxes: [
                TrafficBox(family: .ipv6, destination: IPNetwork(text: "fd00::/8"), transport: .icmp),
                TrafficBox(
                    family: .ipv4, destination: IPNetwork(text: "10.1.2.3"), transport: .tcp,
                    sourcePorts: PortBlock(text: "1"), destinationPorts: PortBlock(text: "32768-65535")),
                TrafficBox(family: .ipv4, transport: .udp, destinationPorts: PortBlock(text: "53")),
                TrafficBox(family: .ipv4, interface: "eth0"),
                TrafficBox(family: .ipv4, cgroup: .init(path: "/a.slice/b.service", id: .max)),
            ]), impairment: TrafficImpairment(latency: .milliseconds(1))),
        TrafficLayer(
            direction: .both, impairment: TrafficImpairment(latency: .milliseconds(1)),
            spared: SparedPackets.all(with: [.ssh, SparedPort(51820, .udp, for: .configured)])),
        TrafficLayer(
            impairment: TrafficImpairment(
                loss: chance(0.1, correlation: Percentage(50)),
                duplication: chance(25),
                corruption: chance(33.3), rate: BitRate(1_234_567))),
        TrafficLayer(
            impairment: TrafficImpairment(
                spreads: [.hold(half, for: .milliseconds(5)), .normal(deviation: .milliseconds(3))],
                bursts: [
                    LossBursts(
                        toBad: quarter, toGood: half, lossWhileBad: .whole, lossWhileGood: .none)
                ])),
    ])
    func `a layer survives the journal`(layer: TrafficLayer) throws {
        #expect(TrafficLayer(try JSON(parsing: layer.json.text)) == layer)
    }

    @Test func `a layer's text is what every version must read`() throws {
        let text = """
            {"direction":"egress","filter":[{"family":"ipv4"},{"family":"ipv6"}],\
            "impairment":{"latency":"100ms","jitter":"10ms","correlation":25.0}}
            """
        let layer = TrafficLayer(
            impairment: TrafficImpairment(
                latency: .milliseconds(100), jitter: .milliseconds(10), correlation: Self.quarter))
        #expect(layer.json.text == text)
        #expect(TrafficLayer(try JSON(parsing: text)) == layer)
    }

    @Test func `what a layer spares is text that every version must read`() throws {
        let text = """
            {"direction":"both","filter":[{"family":"ipv4"},{"family":"ipv6"}],"impairment":{"latency":"1ms","jitter":"0s"},\
            "spared":[{"use":"dhcp","packets":{"family":"ipv4","transport":"udp","sourcePorts":"68","destinationPorts":"67"}}]}
            """
        let layer = TrafficLayer(
            direction: .both, impairment: TrafficImpairment(latency: .milliseconds(1)),
            spared: SparedPackets.all(with: []).filter { $0.use == .dhcp && $0.box.family == .ipv4 })
        #expect(layer.json.text == text)
        #expect(TrafficLayer(try JSON(parsing: text)) == layer)
    }

    @Test func `a host spares its own ports, and those of others that it needs`() {
        let ports = [SparedPort.ssh, SparedPort(9443, for: .agent), SparedPort(51820, .udp, for: .configured)]
        let spared = SparedPackets.all(with: ports)
        func packets(_ use: SparedPackets.Use) -> [String] {
            spared.filter { $0.use == use && $0.box.family == .ipv4 }.map(\.box.description).sorted()
        }
        #expect(packets(.ssh) == ["ipv4 tcp from port 22", "ipv4 tcp to port 22"])
        #expect(packets(.agent) == ["ipv4 tcp from port 9443"])
        #expect(packets(.configured) == ["ipv4 udp from port 51820", "ipv4 udp to port 51820"])
        #expect(packets(.dhcp) == ["ipv4 udp from port 68 to port 67"])
        #expect(
            packets(.dns)
                == ["ipv4 tcp to port 53", "ipv4 tcp to port 853", "ipv4 udp to port 53", "ipv4 udp to port 853"])
        #expect(spared.count == 2 * spared.filter { $0.box.family == .ipv6 }.count)
    }

    @Test func `a filter's text is what every version must read`() throws {
        let text = """
            [{"family":"ipv4","destination":"10.0.0.0/8","transport":"tcp","sourcePorts":"2-3","destinationPorts":"443"},\
            {"family":"ipv6","transport":"icmp"}]
            """
        let filter = TrafficFilter(boxes: [
            TrafficBox(
                family: .ipv4, destination: IPNetwork(text: "10.0.0.0/8"), transport: .tcp,
                sourcePorts: PortBlock(text: "2-3"), destinationPorts: PortBlock(text: "443")),
            TrafficBox(family: .ipv6, transport: .icmp),
        ])
        #expect(filter.json.text == text)
        #expect(TrafficFilter(try JSON(parsing: text)) == filter)
    }

    @Test(arguments: [
        #"[{"family":"ipv4","destination":"fd00::/8"}]"#, #"[{"family":"ipv4","destination":"10.0.0.1/8"}]"#,
        #"[{"family":"ipv4","destinationPorts":"1"}]"#, #"[{"family":"ipv4","transport":"icmp","sourcePorts":"1"}]"#,
        #"[{"family":"ipv4","transport":"tcp","sourcePorts":"1-2"}]"#, #"[{"family":"ipv4"},{"family":"ipv4"}]"#,
        #"[{"family":"ipv4","transport":"sctp"}]"#,
    ])
    func `anything else is no filter`(text: String) throws {
        #expect(TrafficFilter(try JSON(parsing: text)) == nil)
    }

    @Test(arguments: [
        #"{"direction":"egress","filter":[],"impairment":{"latency":"1ms","jitter":"0s"}}"#,
        #"{"direction":"sideways","filter":[{"family":"ipv4"}],"impairment":{"latency":"1ms","jitter":"0s"}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv5"}],"impairment":{"latency":"1ms","jitter":"0s"}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4","port":1}],"impairment":{"latency":"1ms","jitter":"0s"}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1ms"}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1ms","jitter":"0s","loss":1}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1ms","jitter":"0s","rate":"fast"}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1ms","jitter":"0s","speed":1}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":1,"jitter":"0s"}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1s","jitter":"0s","spreads":[{}]}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1s","jitter":"0s","bursts":[5]}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1ms","jitter":"0s","correlation":101}}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1s","jitter":"0s"},"spared":[{"use":"fun","packets":{"family":"ipv4","transport":"tcp","sourcePorts":"22"}}]}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1s","jitter":"0s"},"spared":[{"use":"ssh","packets":{"family":"ipv4","transport":"tcp"}}]}"#,
        #"{"direction":"egress","filter":[{"family":"ipv4"}],"impairment":{"latency":"1s","jitter":"0s"},"spared":[{"use":"ssh","packets":{"family":"ipv4"}}]}"#,
        #"[]"#,
    ])
    func `anything else is no layer`(text: String) throws {
        #expect(TrafficLayer(try JSON(parsing: text)) == nil)
    }

    @Test func `named hosts survive the journal, with and without their addresses`() throws {
        let names = try ["db.shop", "web"].map { try #require(HostName(text: $0)) }
        let templates: Set<TrafficBox> = [
            TrafficBox(family: .ipv4, transport: .tcp), TrafficBox(family: .ipv6, transport: .tcp),
        ]
        let unknown = TrafficLayer(
            filter: TrafficFilter(boxes: [], hosts: NamedHosts(names, templates: templates)),
            impairment: TrafficImpairment(latency: .milliseconds(1)))
        #expect(TrafficLayer(unknown.json) == unknown && unknown.boxes.isEmpty)
        let addresses = try ["10.1.2.3", "fd00::1"].map { try #require(IPNetwork(text: $0)) }
        let known = unknown.found(at: [names[0]: addresses, names[1]: [addresses[0]]])
        #expect(TrafficLayer(known.json) == known)
        #expect(known.boxes.map(\.description).sorted() == ["ipv4 tcp to 10.1.2.3", "ipv6 tcp to fd00::1"])
        // What was found before is forgotten.
        #expect(known.found(at: [names[1]: [addresses[1]]]).boxes.map(\.description) == ["ipv6 tcp to fd00::1"])
    }

    @Test func `a base survives the journal`() throws {
        let interfaces = [
            TrafficBase.Interface(index: 2, name: "eth0", hadClsact: false, transmitQueueLength: 0),
            TrafficBase.Interface(index: 7, name: "eth1", hadClsact: true, transmitQueueLength: 1000),
        ]
        let gateway = ExcludedEndpoint(try #require(IPNetwork(text: "10.0.0.1")), .gateway)
        let text =
            #"{"interfaces":[{"index":2,"name":"eth0","hadClsact":false,"transmitQueueLength":0},"#
            + #"{"index":7,"name":"eth1","hadClsact":true,"transmitQueueLength":1000}]}"#
        let more = text.dropLast() + #","excluded":[{"network":"10.0.0.1","role":"gateway"}]}"#
        for (base, text) in [
            (TrafficBase(interfaces: interfaces), text),
            (TrafficBase(interfaces: interfaces, excluded: [gateway]), String(more)),
        ] {
            #expect(base.json.text == text)
            #expect(TrafficBase(try JSON(parsing: text)) == base)
        }
        for excluded in [#"{"network":"0.0.0.0/0","role":"gateway"}"#, #"{"network":"10.0.0.1","role":"friend"}"#, "1"]
        {
            #expect(TrafficBase(try JSON(parsing: text.dropLast() + #","excluded":[\#(excluded)]}"#)) == nil)
        }
        #expect(TrafficBase(try JSON(parsing: #"{"interfaces":[{"index":0,"name":"eth0","hadClsact":false}]}"#)) == nil)
    }
}
