import LinuxSystem
import Netlink
import Testing

@Suite(.enabled(if: KernelFeature.isRoot, "needs root to make network namespaces"))
struct TrafficControlTests {
    @Test func `clsact comes and goes beside the root qdisc`() throws {
        try inNewInterface { socket, ifb in
            // What passed through them meanwhile, as neighbour discovery does, is no difference.
            let shape = { () throws -> [String] in try socket.qdiscs().map { "\($0.interface) \($0.kind) \($0.handle)" }
            }
            let before = try shape()
            try socket.addClsact(to: ifb)
            #expect(try socket.qdiscs().contains { $0.isClsact && $0.interface == ifb })
            #expect(try socket.filters(of: ifb, at: .egress).isEmpty)
            try socket.deleteClsact(from: ifb)
            #expect(try shape() == before)
            #expect(throws: NetlinkError.self) { try socket.deleteClsact(from: ifb) }
        }
    }

    @Test(
        .enabled(if: KernelFeature.hasNetem, "needs sch_netem"),
        arguments: [
            Netem(limit: 10_000, latency: .milliseconds(100)),
            Netem(limit: 1, latency: .nanoseconds(1), jitter: .nanoseconds(1), latencyCorrelation: 1),
            Netem(limit: .max, latency: .seconds(3600), jitter: Netem.maximumJitter, latencyCorrelation: .max),
            Netem(limit: 1000),
            Netem(
                limit: 1000, latency: .milliseconds(1), loss: .init(probability: 1, correlation: .max),
                duplication: .init(probability: .max, correlation: 1),
                corruption: .init(probability: 2, correlation: 3),
                rate: 1),
            Netem(limit: 1000, loss: .init(probability: .max), rate: UInt64(UInt32.max)),
            Netem(limit: 1000, rate: UInt64(UInt32.max) + 1),
            Netem(
                limit: 1000,
                lossBursts: .init(toBad: 1, toGood: .max, lossWhileBad: 0xF000_0000, lossWhileGood: 0x0F00_0000)),
        ])
    func `netem is read back as it was written`(netem: Netem) throws {
        try inNewInterface { socket, ifb in
            let other = Netem.Chance(probability: 77, correlation: 7)
            try socket.setNetem(
                Netem(
                    limit: 7, latency: .seconds(1), jitter: .seconds(1),
                    lossBursts: .init(toBad: 7, toGood: 8, lossWhileBad: 9, lossWhileGood: 10), duplication: other,
                    corruption: other, rate: 1 << 40), delays: DelayTable([-1, 0, 1]), asRootOf: ifb)
            let first = try #require(try socket.root(of: ifb))
            #expect(first.netem?.lossBursts?.toGood == 8)
            // What losses of one kind or the other leave behind.
            try socket.setNetem(Netem(limit: 7, loss: other), asRootOf: ifb)
            try socket.setNetem(netem, asRootOf: ifb)
            let changed = try #require(try socket.root(of: ifb))
            #expect(changed.netem == netem)
            // Changed in place: a new qdisc would have another handle, and would have dropped what waited.
            #expect(changed.handle == first.handle)
        }
    }

    @Test(.enabled(if: KernelFeature.hasNetem, "needs sch_netem"))
    func `the longest table of delays is taken`() throws {
        try inNewInterface { socket, ifb in
            let netem = Netem(limit: 7, latency: .seconds(1), jitter: .seconds(1))
            let most = DelayTable(Array(repeating: 0.5, count: DelayTable.mostDeviations))
            try socket.setNetem(netem, delays: most, asRootOf: ifb)
            #expect(try socket.root(of: ifb)?.netem == netem)
        }
    }

    @Test(.enabled(if: KernelFeature.hasFlower, "needs cls_flower and act_mirred"))
    func `a redirection is listed with its cookie, changed in place, and deleted`() throws {
        try inNewInterface { socket, ifb in
            try socket.addClsact(to: ifb)
            let place = Filter.Place(interface: ifb, hook: .egress, preference: 50_001, etherType: .ipv6)
            let action = FilterAction(.redirect(to: ifb), cookie: Array("squall".utf8))
            try socket.setFlower(at: place, action: action)
            let filter = try #require(try socket.filters(of: ifb, at: .egress).first { $0.handle != 0 })
            #expect(filter.place == place && filter.kind == "flower" && filter.match == .everything)
            #expect(filter.actions == [action])
            #expect(try socket.filters(of: ifb, at: .ingress).isEmpty)

            let duplicate = #expect(throws: NetlinkError.self) { try socket.setFlower(at: place, action: action) }
            #expect(duplicate?.errno == .exists)

            let other = FilterAction(.redirect(to: ifb), cookie: Array("other".utf8))
            try socket.setFlower(at: place, handle: filter.handle, action: other)
            #expect(try socket.filters(of: ifb, at: .egress).filter { $0.handle != 0 }.map(\.actions) == [[other]])

            try socket.delete(filter)
            #expect(try socket.filters(of: ifb, at: .egress).isEmpty)
            let missing = #expect(throws: NetlinkError.self) { try socket.delete(filter) }
            #expect(missing?.errno == .noEntry)
        }
    }

    @Test(.enabled(if: KernelFeature.hasClassifiers, "needs cls_bpf, and bpf(2)"))
    func `filters of a chain are met by what one cgroup sends, and read back`() throws {
        try inNewInterface { socket, ifb in
            try socket.addClsact(to: ifb)
            let classifiers = try CgroupClassifiers()
            let place = Filter.Place(interface: ifb, hook: .egress, preference: 50_002, etherType: .all)
            let action = FilterAction(.enter(chain: 0xABC_DEF1), cookie: Array("squall".utf8))
            for cgroup in UInt64(1)...UInt64(CgroupClassifiers.most) {
                try socket.addClassifier(
                    of: cgroup, named: "cgroup \(cgroup)", at: place, among: classifiers, action: action)
            }
            let full = #expect(throws: NetlinkError.self) {
                try socket.addClassifier(of: 99, named: "one more", at: place, among: classifiers, action: action)
            }
            #expect(full?.errno == .noSpace)
            let inner = Filter.Place(
                interface: ifb, hook: .egress, preference: 50_003, etherType: .ipv4, chain: 0xABC_DEF1)
            try socket.setFlower(at: inner, action: FilterAction(.pass, cookie: [1]))
            let filters = try socket.filters(of: ifb, at: .egress).filter { $0.handle != 0 }
            let entrances = filters.filter { $0.place == place }
            #expect(
                Set(entrances.map(\.name)) == Set((1...CgroupClassifiers.most).map { "cgroup \($0)" })
                    && entrances.allSatisfy { $0.kind == "bpf" && $0.actions == [action] })
            #expect(filters.filter { $0.place == inner }.map(\.kind) == ["flower"])
            for filter in filters { try socket.delete(filter) }
            #expect(try socket.filters(of: ifb, at: .egress).filter { $0.handle != 0 }.isEmpty)
            classifiers.keep(only: [1])
            try socket.addClassifier(of: 99, named: "one more", at: place, among: classifiers, action: action)
        }
    }

    private static let matches = [
        FlowerMatch.everything,
        FlowerMatch(destination: .init(address: [10, 1, 2, 3], length: 32)),
        FlowerMatch(destination: .init(address: [10, 0x80, 0, 0], length: 9), ipProtocol: 17),
        FlowerMatch(source: .init(address: [10, 1, 2, 3], length: 32)),
        FlowerMatch(
            source: .init(address: [10, 0, 0, 0], length: 8), destination: .init(address: [10, 1, 0, 0], length: 16)),
        FlowerMatch(ipProtocol: 1), FlowerMatch(ipProtocol: 1, icmpTypes: .init(lowest: 3, count: 1), icmpCode: 4),
        FlowerMatch(ipProtocol: 1, icmpCode: 0),
        FlowerMatch(ipProtocol: 6, destinationPorts: .init(lowest: 443, count: 1)),
        FlowerMatch(ipProtocol: 6, sourcePorts: .init(lowest: 443, count: 1)),
        FlowerMatch(ipProtocol: 17, destinationPorts: .init(lowest: 443, count: 1)),
        FlowerMatch(
            destination: .init(address: [10, 1, 2, 3], length: 32), ipProtocol: 6,
            sourcePorts: .init(lowest: 0x8000, count: 0x8000), destinationPorts: .init(lowest: 8000, count: 64)),
        FlowerMatch(
            ipProtocol: 17, sourcePorts: .init(lowest: 6, count: 2), destinationPorts: .init(lowest: 9, count: 1)),
    ]

    @Test(.enabled(if: KernelFeature.hasFlower, "needs cls_flower and act_mirred"))
    func `what a filter looks at is read back, and one place has many`() throws {
        let prefix = FlowerMatch.Prefix(address: [0xFD] + [UInt8](repeating: 0, count: 14) + [0x10], length: 124)
        let families = [
            (EtherType.ipv4, Self.matches),
            (
                .ipv6,
                [
                    FlowerMatch(source: prefix), FlowerMatch(destination: prefix, ipProtocol: 58),
                    FlowerMatch(ipProtocol: 58, icmpTypes: .init(lowest: 132, count: 4)),
                    FlowerMatch(ipProtocol: 58, icmpTypes: .init(lowest: 136, count: 1)),
                    FlowerMatch(ipProtocol: 58, icmpTypes: .init(lowest: 1, count: 1), icmpCode: 255),
                ]
            ),
        ]
        for (etherType, matches) in families {
            try inNewInterface { socket, ifb in
                try socket.addClsact(to: ifb)
                let place = Filter.Place(interface: ifb, hook: .egress, preference: 50_001, etherType: etherType)
                let action = FilterAction(.redirect(to: ifb), cookie: Array("squall".utf8))
                for match in matches { try socket.setFlower(at: place, matching: match, action: action) }
                let filters = try socket.filters(of: ifb, at: .egress).filter { $0.handle != 0 }
                #expect(filters.count == matches.count && Set(filters.map(\.match)) == Set(matches))
                for match in matches {
                    let again = #expect(throws: NetlinkError.self) {
                        try socket.setFlower(at: place, matching: match, action: action)
                    }
                    #expect(again?.errno == .exists)
                }
                let other = FilterAction(.redirect(to: ifb), cookie: Array("other".utf8))
                for filter in filters {
                    let match = try #require(filter.match)
                    try socket.setFlower(at: place, matching: match, handle: filter.handle, action: other)
                }
                let changed = try socket.filters(of: ifb, at: .egress).filter { $0.handle != 0 }
                #expect(Set(changed.map(\.handle)) == Set(filters.map(\.handle)))
                #expect(changed.allSatisfy { $0.actions == [other] })
                for filter in changed { try socket.delete(filter) }
                #expect(try socket.filters(of: ifb, at: .egress).isEmpty)
            }
        }
    }

    @Test(.enabled(if: KernelFeature.hasFlower, "needs cls_flower and act_mirred"))
    func `a filter that matches everything is listed, however much is listed before it`() throws {
        try inNewInterface { socket, ifb in
            try socket.addClsact(to: ifb)
            let last = Filter.Place(interface: ifb, hook: .egress, preference: 60_000, etherType: .all)
            try socket.addMatchall(at: last, action: FilterAction(.continue, cookie: [1]))
            // Several times as much as a datagram holds, so that each time another one is the last in it.
            for number in UInt8(1)...120 {
                let place = Filter.Place(interface: ifb, hook: .egress, preference: 50_000, etherType: .ipv4)
                let match = FlowerMatch(destination: .init(address: [10, 0, 0, number], length: 32))
                try socket.setFlower(at: place, matching: match, action: FilterAction(.pass, cookie: [2]))
                let filters = try socket.filters(of: ifb, at: .egress).filter { $0.handle != 0 }
                #expect(filters.count == Int(number) + 1 && filters.last?.place == last, "\(number)")
                #expect(filters.last?.actions == [FilterAction(.continue, cookie: [1])])
            }
        }
    }

    @Test(.enabled(if: KernelFeature.hasFlower, "needs cls_flower and act_mirred"))
    func `a redirection to an interface that is gone says so`() throws {
        try inNewInterface { socket, ifb in
            try socket.addIFB(named: "two")
            let two = try #require(try socket.link(named: "two"))
            try socket.addClsact(to: ifb)
            let place = Filter.Place(interface: ifb, hook: .egress, preference: 50_000, etherType: .ipv4)
            try socket.setFlower(at: place, action: FilterAction(.redirect(to: two.index), cookie: [1, 2]))
            try socket.deleteLink(two.index)
            let actions = try socket.filters(of: ifb, at: .egress).flatMap(\.actions)
            #expect(actions == [FilterAction(.redirect(to: 0), cookie: [1, 2])])
        }
    }

    @Test(.enabled(if: KernelFeature.hasFlower, "needs cls_matchall"))
    func `a matchall filter that does nothing is read back`() throws {
        try inNewInterface { socket, ifb in
            try socket.addClsact(to: ifb)
            let place = Filter.Place(interface: ifb, hook: .ingress, preference: 60_000, etherType: .all)
            try socket.addMatchall(at: place, action: FilterAction(.continue, cookie: [7]))
            let filter = try #require(try socket.filters(of: ifb, at: .ingress).first { $0.handle != 0 })
            #expect(filter.place == place && filter.kind == "matchall")
            #expect(filter.actions == [FilterAction(.continue, cookie: [7])])
        }
    }

    private func inNewInterface(_ body: (NetlinkSocket, Int32) throws -> Void) throws {
        try inNewNamespace { socket in
            try socket.addIFB(named: "one")
            try body(socket, try #require(try socket.link(named: "one")).index)
        }
    }
}

extension NetlinkSocket {
    fileprivate func root(of interface: Int32) throws -> Qdisc? {
        try qdiscs().first { $0.interface == interface && $0.isRoot }
    }
}
