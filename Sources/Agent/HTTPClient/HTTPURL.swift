import LinuxSystem

/// An address of HTTP, as `https://shop.example:8443/cart?id=1`.
package struct HTTPURL: Hashable, Sendable, CustomStringConvertible {
    package let isSecure: Bool
    /// Without the brackets of an IPv6 address.
    package let host: String
    package let port: UInt16
    /// The path with its query: what is asked for.
    package let target: String

    /// Nil for what is no such address, or has a name and a password in it, or a character that a request cannot have.
    package init?(_ text: String) {
        guard text.utf8.count <= 8192, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
        let rest: Substring
        if text.lowercased().hasPrefix("http://") {
            (isSecure, rest) = (false, text.dropFirst("http://".count))
        } else if text.lowercased().hasPrefix("https://") {
            (isSecure, rest) = (true, text.dropFirst("https://".count))
        } else {
            return nil
        }
        let authority = rest.prefix { !"/?#".contains($0) }
        guard let (host, port) = Self.hostAndPort(authority, standardPort: isSecure ? 443 : 80) else { return nil }
        (self.host, self.port) = (host, port)
        let target = rest[authority.endIndex...].prefix { $0 != "#" }
        self.target = target.hasPrefix("/") ? String(target) : "/\(target)"
    }

    package init(isSecure: Bool, host: String, port: UInt16, target: String) {
        (self.isSecure, self.host, self.port, self.target) = (isSecure, host, port, target)
    }

    /// Reads `shop:8080`, `10.1.2.3` and `[fd00::1]:80`.
    package static func hostAndPort(
        _ authority: some StringProtocol, standardPort: UInt16? = nil
    ) -> (host: String, port: UInt16)? {
        var host = Substring(authority)
        var port = standardPort
        let end = host.first == "[" ? host.firstIndex(of: "]") : host.startIndex
        guard let end else { return nil }
        if let colon = host[end...].lastIndex(of: ":") {
            let digits = host[host.index(after: colon)...]
            guard digits.allSatisfy({ $0.isASCII && $0.isNumber }), let given = UInt16(digits), given > 0 else {
                return nil
            }
            port = given
            host = host[..<colon]
        }
        if host.first == "[" {
            guard host.last == "]" else { return nil }
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard let port, !host.isEmpty, !host.contains(where: { "@[]/ ".contains($0) }) else { return nil }
        return (String(host), port)
    }

    /// As the `Host` header has it.
    package var authority: String {
        let name = InternetAddress.bracketed(host)
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }

    package var description: String { "\(isSecure ? "https" : "http")://\(authority)\(target)" }

    /// What a path or a query may have as it is; everything else is escaped (RFC 3986).
    package static func escaped(_ text: String) -> String {
        var escaped = ""
        for byte in text.utf8 {
            let scalar = Unicode.Scalar(byte)
            if scalar.isASCII,
                scalar.properties.isAlphabetic || (0x30...0x39).contains(byte) || "-._~".utf8.contains(byte)
            {
                escaped.unicodeScalars.append(scalar)
            } else {
                escaped += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return escaped
    }
}
