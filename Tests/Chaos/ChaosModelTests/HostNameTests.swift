import ChaosModel
import Testing

struct HostNameTests {
    @Test(arguments: ["db", "db.shop.svc.cluster.local", "example.org.", "_srv._tcp.db", "a-1.b", "1.example", "3com"])
    func `names are read, in lower case`(text: String) {
        #expect(HostName(text: text.uppercased())?.description == text)
    }

    @Test(arguments: [
        "", ".", "a..b", ".a", "-a", "a-", "a b", "a/b", "ä", "10.1.2.3", "fd00::1", "10.1.2", "1", "a.1", "db:80",
        "http://db", "*.shop", "a\0", String(repeating: "a", count: 64),
        Array(repeating: "abcdefghi", count: 26).joined(separator: "."),
    ])
    func `what is no name of a host is refused`(text: String) {
        #expect(HostName(text: text) == nil)
    }
}
