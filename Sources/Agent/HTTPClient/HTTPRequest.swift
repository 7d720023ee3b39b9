package import LinuxSystem

/// One request over a connection of its own (RFC 9112), without redirects.
package struct HTTPRequest: Sendable {
    private static let longestBody = 8 << 20

    package let url: HTTPURL
    package let method: String
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]
    package let trust: TLSTrust

    /// - Throws: When the method or a header is none.
    package init(
        _ url: HTTPURL, method: String = "GET", headers: [(name: String, value: String)] = [], body: [UInt8] = [],
        trust: TLSTrust = TLSTrust()
    ) throws(HTTPError) {
        guard Self.isToken(method) else { throw HTTPError(reason: "\(method.debugDescription) is no method") }
        for (name, value) in headers {
            guard Self.isToken(name), value.utf8.allSatisfy({ $0 == 9 || (0x20...0x7E).contains($0) || $0 >= 0x80 })
            else { throw HTTPError(reason: "\(name.debugDescription) is no header, or its value none") }
        }
        (self.url, self.method, self.headers, self.body, self.trust) = (url, method, headers, body, trust)
    }

    package struct Response: Sendable {
        package let status: Int
        /// Names in lower case.
        package let headers: [(name: String, value: String)]
        package let body: [UInt8]
    }

    /// - Throws: When there is no whole response by then.
    package func response(until deadline: BootInstant) throws(HTTPError) -> Response {
        let stream = try TCPStream(
            to: url.host, port: url.port, trust: url.isSecure ? trust : nil, until: deadline)
        try stream.send(message, until: deadline)
        var reader = HTTPResponseReader(toHEAD: method == "HEAD")
        var received: [UInt8] = []
        while true {
            // One that always has something to say is not waited for either.
            guard .now < deadline else { throw HTTPError(reason: "no whole answer in time") }
            let bytes = try stream.receive(until: deadline)
            if bytes.isEmpty { reader.finish() } else { try reader.append(bytes) }
            received += reader.takeBody()
            guard received.count <= Self.longestBody else {
                throw HTTPError(reason: "the answer is longer than \(Self.longestBody) bytes")
            }
            if reader.isComplete, let status = reader.status {
                return Response(status: status, headers: reader.headers, body: received)
            }
            if bytes.isEmpty { throw HTTPError(reason: "the connection was closed before there was a whole answer") }
        }
    }

    private var message: [UInt8] {
        var text = "\(method) \(url.target) HTTP/1.1\r\n"
        let given = Set(headers.map { $0.name.lowercased() })
        if !given.contains("host") { text += "Host: \(url.authority)\r\n" }
        if !given.contains("user-agent") { text += "User-Agent: squall\r\n" }
        if !given.contains("accept") { text += "Accept: */*\r\n" }
        for (name, value) in headers where name.lowercased() != "content-length" { text += "\(name): \(value)\r\n" }
        if !body.isEmpty || ["POST", "PUT", "PATCH"].contains(method) { text += "Content-Length: \(body.count)\r\n" }
        return Array("\(text)Connection: close\r\n\r\n".utf8) + body
    }

    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                    || "!#$%&'*+-.^_`|~".utf8.contains($0)
            }
    }
}
