import LinuxSystem
import Netlink
import Testing

@Suite(.enabled(if: KernelFeature.isRoot, "needs root to make network namespaces"))
struct LinkTests {
    @Test func `an ifb is up from the start and has one queue`() throws {
        try inNewNamespace { socket in
            try socket.addIFB(named: "one")
            let one = try #require(try socket.link(named: "one"))
            #expect(one.kind == "ifb" && one.isUp && !one.isLoopback && one.alias == nil && one.master == nil)
            // One queue has one root qdisc; several would get mq over them.
            #expect(try socket.qdiscs().filter { $0.interface == one.index }.map(\.isRoot) == [true])
        }
    }

    @Test func `an alias is read back without a terminating zero`() throws {
        try inNewNamespace { socket in
            try socket.addIFB(named: "one")
            let one = try #require(try socket.link(named: "one"))
            try socket.setAlias("squall: s-1 s-2", ofLink: one.index)
            #expect(try socket.link(named: "one")?.alias == "squall: s-1 s-2")
        }
    }

    @Test func `loopback is down in a new namespace and can be set up`() throws {
        try inNewNamespace { socket in
            let loopback = try #require(try socket.link(named: "lo"))
            #expect(loopback.isLoopback && !loopback.isUp)
            try socket.setUp(link: loopback.index)
            #expect(try socket.link(named: "lo")?.isUp == true)
        }
    }

    @Test func `a name is given once, and free after deletion`() throws {
        try inNewNamespace { socket in
            try socket.addIFB(named: "one")
            let refusal = #expect(throws: NetlinkError.self) { try socket.addIFB(named: "one") }
            #expect(refusal?.errno == .exists)
            try socket.deleteLink(try #require(try socket.link(named: "one")).index)
            #expect(try socket.links().map(\.name) == ["lo"])
        }
    }
}
