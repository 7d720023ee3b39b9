import ChaosModel
import Testing

struct PortRangeTests {
    @Test(arguments: [("443", "443"), ("8000-8080", "8000-8080"), ("1-65535", "1-65535"), ("7-7", "7")])
    func `ports are read as people write them`(text: String, written: String) throws {
        #expect(try #require(PortRange(text: text)).description == written)
    }

    @Test(arguments: ["", "0", "65536", "-1", "1-", "2-1", "1-2-3", " 1", "+1", "http", "1,2", "0-5"])
    func `anything else is no port`(text: String) {
        #expect(PortRange(text: text) == nil)
    }

    @Test(arguments: [
        ("443", ["443"]), ("1-65535", ["0-65535"]), ("1-1023", ["0-1023"]), ("80-81", ["80-81"]),
        ("81-82", ["81", "82"]), ("8000-8080", ["8000-8063", "8064-8079", "8080"]), ("65535", ["65535"]),
        ("3-12", ["3", "4-7", "8-11", "12"]),
    ])
    func `a range is as few blocks as may be`(text: String, blocks: [String]) throws {
        #expect(try #require(PortRange(text: text)).blocks.map(\.description) == blocks)
        for block in blocks { #expect(PortBlock(text: block)?.description == block) }
    }

    @Test func `the blocks of a range are its ports, each once`() throws {
        for (lowest, highest) in [(2, 65535), (1000, 2000), (32767, 32769), (5, 5)] as [(UInt16, UInt16)] {
            let blocks = try #require(PortRange(text: "\(lowest)-\(highest)")).blocks
            #expect(blocks.count <= 28)
            for port in [lowest - 1, lowest, lowest / 2 + highest / 2, highest, highest &+ 1] {
                let single = PortBlock(lowest: port, bits: 0)
                #expect(
                    blocks.filter { $0.contains(single) }.count == ((lowest...highest).contains(port) ? 1 : 0),
                    "\(port)")
            }
        }
    }

    @Test(arguments: ["", "2-1", "1-2", "0-2", "5-8", "x", "65536"])
    func `anything else is no block`(text: String) {
        #expect(PortBlock(text: text) == nil)
    }
}
