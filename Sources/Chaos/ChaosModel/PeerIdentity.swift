/// Who a TLS client is by its certificate: a URI (as a SPIFFE ID) or a DNS name among the alternative names of its
/// subject. A URI has a colon, and no DNS name has one.
package struct PeerIdentity: Hashable, Sendable, CustomStringConvertible {
    /// A URI as it stands in the certificate, a DNS name in lower case.
    package let text: String

    /// Nil for anything but a URI of 2048 visible ASCII characters at most, or a DNS name without wildcards.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        if bytes.contains(0x3A) {
            guard bytes.count <= 2048, bytes.allSatisfy({ (0x21...0x7E).contains($0) }), bytes.first != 0x3A else {
                return nil
            }
            self.text = text
        } else {
            // Some letters beyond ASCII have lower-case forms within.
            guard bytes.allSatisfy({ $0 < 0x80 }) else { return nil }
            let name = text.lowercased()
            let isName = name.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D || $0 == 0x2E
            }
            guard isName, (1...253).contains(bytes.count) else { return nil }
            self.text = name
        }
    }

    package var isURI: Bool { text.utf8.contains(0x3A) }

    package var description: String { text }
}
