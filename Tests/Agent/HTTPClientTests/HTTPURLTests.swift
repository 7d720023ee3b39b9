import HTTPClient
import Testing

struct HTTPURLTests {
    @Test(
        arguments: [
            ("http://shop", "shop", 80, "/", false), ("https://shop/a?b=c#d", "shop", 443, "/a?b=c", true),
            ("HTTP://10.0.0.1:8080/x", "10.0.0.1", 8080, "/x", false),
            ("http://[fd00::1]:81?q", "fd00::1", 81, "/?q", false),
        ] as [(String, String, UInt16, String, Bool)])
    func `reads addresses`(text: String, host: String, port: UInt16, target: String, isSecure: Bool) throws {
        let url = try #require(HTTPURL(text))
        #expect((url.host, url.port, url.target, url.isSecure) == (host, port, target, isSecure))
    }

    @Test(arguments: [
        "", "shop", "ftp://shop", "http://", "http://:80", "http://shop:0", "http://shop:65536", "http://shop:x",
        "http://a b",
        "http://shop/\r\nHost: other", "http://user:word@shop/", "http://fd00::1/", "http://[fd00::1",
        "http://[fd00::1]x",
    ])
    func `refuses what is none`(text: String) {
        #expect(HTTPURL(text) == nil)
    }

    @Test func `escapes what a query cannot have`() {
        #expect(HTTPURL.escaped("up{a=\"b\"} + 1 é") == "up%7Ba%3D%22b%22%7D%20%2B%201%20%C3%A9")
    }

    @Test func `refuses headers that end early`() throws {
        let url = try #require(HTTPURL("http://shop"))
        #expect(throws: HTTPError.self) { _ = try HTTPRequest(url, headers: [("A", "b\r\nC: d")]) }
        #expect(throws: HTTPError.self) { _ = try HTTPRequest(url, headers: [("A b", "c")]) }
        #expect(throws: HTTPError.self) { _ = try HTTPRequest(url, method: "GET /x") }
    }
}

struct HTTPResponseReaderTests {
    @Test func `keeps headers, and knows that HEAD has no body`() throws {
        var reader = HTTPResponseReader(toHEAD: true)
        try reader.append(Array("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Of: shop\r\n\r\n".utf8))
        #expect(reader.isComplete && reader.status == 200)
        #expect(reader.headers.map(\.name) == ["content-length", "x-of"])
    }
}
