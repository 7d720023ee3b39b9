/// The name of a host, to be looked up by the rules of whoever uses it.
package struct HostName: Hashable, Sendable, CustomStringConvertible {
    /// In lower case.
    package let description: String

    private static let longest = 253
    private static let longestLabel = 63

    /// Reads `db`, `db.shop.svc` and `example.org.`, whose last dot says that it is whole: labels of letters, digits,
    /// hyphens and underscores (RFC 1123, RFC 2181). Nil for anything else, and for what is an address.
    package init?(text: String) {
        let text = text.lowercased()
        guard text.utf8.count <= Self.longest, IPNetwork(text: text) == nil else { return nil }
        let labels = (text.hasSuffix(".") ? text.dropLast() : text[...])
            .split(separator: ".", omittingEmptySubsequences: false)
        let isName = labels.allSatisfy { label in
            (1...Self.longestLabel).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy {
                    (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D || $0 == 0x5F
                }
        }
        guard isName, !(labels.last ?? "").allSatisfy(\.isNumber) else { return nil }
        description = text
    }
}
