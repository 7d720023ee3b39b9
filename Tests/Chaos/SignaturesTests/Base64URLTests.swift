import Signatures
import Testing

struct Base64URLTests {
    @Test(arguments: [
        ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"),
        ("foobar", "Zm9vYmFy"),
    ])
    func `writes and reads the examples of RFC 4648 without their padding`(plain: String, encoded: String) {
        #expect(Base64URL.encode(plain.utf8) == encoded)
        #expect(Base64URL.decode(encoded) == Array(plain.utf8))
    }

    @Test func `reads back all bytes at every length`() {
        for count in 0...259 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ count) }
            #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
        }
    }

    @Test func `uses the alphabet for addresses`() {
        #expect(Base64URL.encode([0xFB, 0xFF, 0xBF]) == "-_-_")
    }

    @Test(arguments: [
        "Zg==", "Zm8=", "Z", "Zm9vY", "-_+/", "Zm 9v", "Zm9v\n", " Zm9v", "Zm9v.", "Zm9\u{E9}", "\0\0\0\0",
    ])
    func `refuses what it would not write`(text: String) {
        #expect(Base64URL.decode(text) == nil)
    }

    @Test func `refuses every second spelling of the same bytes`() {
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        for last in alphabet {
            #expect((Base64URL.decode("A\(last)") != nil) == "AQgw".contains(last))
            #expect((Base64URL.decode("AA\(last)") != nil) == "AEIMQUYcgkosw048".contains(last))
        }
    }
}
