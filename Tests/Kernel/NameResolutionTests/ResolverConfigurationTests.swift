import NameResolution
import Testing

struct ResolverConfigurationTests {
    private static let ofPod = ResolverConfiguration(
        """
        search shop.svc.cluster.local svc.cluster.local cluster.local
        nameserver 10.96.0.10
        options ndots:5
        """)

    @Test func `a pod's name is looked for in its domains first`() {
        #expect(Self.ofPod.nameServers == ["10.96.0.10"])
        #expect(
            Self.ofPod.candidates(for: "db") == [
                "db.shop.svc.cluster.local", "db.svc.cluster.local", "db.cluster.local", "db",
            ])
        #expect(Self.ofPod.candidates(for: "a.b.c.d.e.f").first == "a.b.c.d.e.f")
        #expect(Self.ofPod.candidates(for: "db.") == ["db."])
    }

    @Test func `without a word the standard holds`() {
        let standard = ResolverConfiguration("")
        #expect(standard.nameServers == ["127.0.0.1"] && standard.search == [] && standard.dots == 1)
        #expect(standard.candidates(for: "db") == ["db"])
    }

    @Test func `what means nothing is skipped, and what is too much`() {
        let odd = ResolverConfiguration(
            """
            # nameserver 10.0.0.9
            ; comment
            domain one.example
            nameserver\t10.0.0.1 10.0.0.2
            nameserver fd00::1
            nameserver
            nameserver 10.0.0.3
            nameserver 10.0.0.4
            search a b, c,d b x\u{0} c d e f g h .
            options rotate ndots:99 timeout:1 # attempts:9
            nameserver 10.0.0.5\(String(repeating: " ", count: 1024))
            options ndots:x
            """)
        #expect(odd.nameServers == ["10.0.0.1", "fd00::1", "10.0.0.3"])
        #expect(odd.search == ["a", "b", "c", "d", "e", "f"] && odd.dots == 15)
    }

    @Test func `a domain with which a name is too long is left out`() {
        let domain = Array(repeating: "abcdefghi", count: 25).joined(separator: ".")
        #expect(ResolverConfiguration("search \(domain)").candidates(for: "db") == ["db.\(domain)", "db"])
        #expect(ResolverConfiguration("search \(domain)").candidates(for: "a-longer-name") == ["a-longer-name"])
    }

    @Test func `the hosts file names addresses by any of their names`() {
        let hosts = HostsFile(
            """
            127.0.0.1 localhost
            ::1\tlocalhost ip6-localhost # a comment
            10.1.2.3 DB.shop db
            #10.1.2.4 db
            10.1.2.5 db
            10.1.2.6
            """)
        #expect(hosts.addresses(of: "localhost") == ["127.0.0.1", "::1"])
        #expect(hosts.addresses(of: "db.shop.") == ["10.1.2.3"])
        #expect(hosts.addresses(of: "db") == ["10.1.2.3", "10.1.2.5"])
        #expect(hosts.addresses(of: "comment").isEmpty && hosts.addresses(of: "10.1.2.6").isEmpty)
    }
}
