/// `1.2.3`: major, minor, patch, each without leading zeros (Semantic Versioning 2.0, without pre-releases).
package struct HubVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    private let parts: [Int]

    package init?(_ text: String) {
        let words = text.split(separator: ".", omittingEmptySubsequences: false)
        let parts = words.compactMap { word in
            (1...9).contains(word.utf8.count) && word.utf8.allSatisfy { (0x30...0x39).contains($0) }
                && (word == "0" || word.first != "0") ? Int(word) : nil
        }
        guard words.count == 3, parts.count == 3 else { return nil }
        self.parts = parts
    }

    package var description: String { parts.map(String.init).joined(separator: ".") }

    package static func < (left: HubVersion, right: HubVersion) -> Bool {
        left.parts.lexicographicallyPrecedes(right.parts)
    }
}
