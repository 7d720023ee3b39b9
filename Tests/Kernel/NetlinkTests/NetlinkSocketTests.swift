import Glibc
import LinuxSystem
import Netlink
import Testing

@Suite(.enabled(if: KernelFeature.isRoot, "needs root to make network namespaces"))
struct NetlinkSocketTests {
    @Test func `stays in the namespace in which it was opened`() throws {
        let here = try NetlinkSocket()
        try inNewNamespace { there in
            let names = try there.links().map(\.name)
            #expect(names == ["lo"])
            let cookies = try (there.namespaceCookie(), here.namespaceCookie())
            #expect(cookies.0 != cookies.1)
        }
        #expect(try here.namespaceCookie() == NetlinkSocket().namespaceCookie())
    }

    @Test func `a refusal carries the request, its subject, the error number and the kernel's words`() throws {
        try inNewNamespace { socket in
            try socket.addIFB(named: "one")
            let one = try #require(try socket.link(named: "one"))
            try socket.addClsact(to: one.index)
            let refusal = #expect(throws: NetlinkError.self) { try socket.addClsact(to: one.index) }
            #expect(
                refusal
                    == NetlinkError(
                        "RTM_NEWQDISC", on: "clsact of interface \(one.index)", errno: .exists,
                        kernelMessage: "Exclusivity flag on, cannot modify"))
        }
    }

    @Test func `an interface that does not exist is told from one without anything`() throws {
        try inNewNamespace { socket in
            #expect(throws: NetlinkError("RTM_DELLINK", on: "interface 99", errno: .noDevice)) {
                try socket.deleteLink(99)
            }
            #expect(throws: NetlinkError.self) { try socket.addClsact(to: 99) }
        }
    }

    @Test func `reads lists that take many datagrams`() throws {
        try inNewNamespace { socket in
            let names = (0..<150).map { "ifb-\($0)" }
            for name in names { try socket.addIFB(named: name) }
            #expect(try socket.links().map(\.name) == ["lo"] + names)
        }
    }

    @Test func `an owner can stop a change before it is sent`() throws {
        try inNewNamespace { socket in
            let stop = NetlinkError("stop", on: "test", errno: .interrupted)
            socket.willChange = { (_, _) throws(NetlinkError) in throw stop }
            #expect(throws: stop) { try socket.addIFB(named: "one") }
            socket.willChange = nil
            let made = try socket.link(named: "one")
            #expect(made == nil)
        }
    }
}
