/// The name of one session on one node: `s-` and 16 hexadecimal digits, drawn at random.
package struct SessionID: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    package static func random() -> SessionID {
        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        return SessionID(unchecked: "s-" + String(repeating: "0", count: 16 - digits.count) + digits)
    }

    /// Nil for anything that `random()` cannot have made.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count == 18, text.hasPrefix("s-"),
            text.dropFirst(2).utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
        else { return nil }
        self.text = String(text)
    }

    private init(unchecked text: String) { self.text = text }

    package var description: String { text }
}

/// Who owns keys and sessions: 1 to 63 lower-case letters, digits and inner hyphens, as a Kubernetes name.
package struct Tenant: Hashable, Sendable, CustomStringConvertible {
    package let name: String

    package init?(_ name: some StringProtocol) {
        guard (1...63).contains(name.utf8.count), name.first != "-", name.last != "-",
            name.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D })
        else { return nil }
        self.name = String(name)
    }

    package var description: String { name }
}
