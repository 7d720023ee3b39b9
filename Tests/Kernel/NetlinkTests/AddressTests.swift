import LinuxSystem
import Netlink
import Testing

@Suite(.enabled(if: KernelFeature.isRoot, "needs root to make network namespaces"))
struct AddressTests {
    @Test func `addresses are listed with their interface and how far they are known`() throws {
        try inNewNamespace { socket in
            #expect(try socket.addresses().isEmpty)
            let loopback = try #require(try socket.link(named: "lo"))
            try socket.setUp(link: loopback.index)
            let addresses = try socket.addresses()
            #expect(
                addresses.contains { $0.address == [127, 0, 0, 1] && $0.interface == loopback.index && !$0.isGlobal })
            let again = try socket.link(loopback.index)
            #expect(again.name == "lo" && again.isUp)
        }
    }

    @Test func `an interface that is not there is an error`() throws {
        try inNewNamespace { socket in
            let refusal = #expect(throws: NetlinkError.self) { try socket.link(4711) }
            #expect(refusal?.errno.rawValue == 19)
        }
    }

    @Test(arguments: [[192, 0, 2, 1], [0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [1]])
    func `without a route there is no gateway`(address: [UInt8]) throws {
        try inNewNamespace { socket in
            let gateway = try socket.gateway(to: address)
            #expect(gateway == nil)
        }
    }
}
