import ChaosModel
import Testing

struct IPNetworkTests {
    @Test(arguments: [
        ("10.0.0.7", "10.0.0.7"), ("10.0.0.7/32", "10.0.0.7"), ("10.1.0.0/16", "10.1.0.0/16"),
        ("0.0.0.0/0", "0.0.0.0/0"), ("10.128.0.0/9", "10.128.0.0/9"), ("FD00::/8", "fd00::/8"), ("::1", "::1"),
        ("2001:db8:0:0::/64", "2001:db8::/64"), ("::/0", "::/0"),
    ])
    func `addresses and networks are read as people write them`(text: String, written: String) throws {
        let network = try #require(IPNetwork(text: text))
        #expect(network.description == written)
        #expect(IPNetwork(text: written) == network)
    }

    @Test(arguments: [
        "", "10", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/8", "10.0.0.0/-8",
        "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0", " 10.0.0.1", "fe80::1%eth0", "::1/129", "fd00::1/8", "::ffff:10.0.0.1", "shop.example",
        "10.0.0.1\u{0}",
    ])
    func `anything else is none`(text: String) {
        #expect(IPNetwork(text: text) == nil)
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.1.2.3", true), ("10.0.0.0/8", "11.0.0.0", false), ("10.128.0.0/9", "10.200.0.0/16", true),
        ("10.128.0.0/9", "10.127.0.0/16", false), ("10.1.0.0/16", "10.0.0.0/8", false), ("0.0.0.0/0", "8.8.8.8", true),
        ("0.0.0.0/0", "::1", false), ("fd00::/8", "fd09:1::2", true), ("fd09:1::2", "fd09:1::2", true),
    ])
    func `a network has what begins with its bits`(outer: String, inner: String, isInside: Bool) throws {
        let (outer, inner) = (try #require(IPNetwork(text: outer)), try #require(IPNetwork(text: inner)))
        #expect(outer.contains(inner) == isInside)
    }
}
