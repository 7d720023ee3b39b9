/// The name of a container that is no pod's, as Docker and Podman give it: no other of theirs on the host has it.
package struct ContainerName: Hashable, Sendable, CustomStringConvertible {
    package static let maximumLength = 128

    package let description: String

    /// Nil for what is no such name, and for what may as well be an identifier.
    package init?(_ text: String) {
        guard (2...Self.maximumLength).contains(text.utf8.count), text.utf8.allSatisfy(Self.isPart),
            text.first.map({ !"-_.".contains($0) }) ?? false, !Self.isIdentifier(text)
        else { return nil }
        description = text
    }

    /// Whether a byte may be in a container's name.
    package static func isPart(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "-_.".utf8.contains(byte)
        }
    }

    /// Whether a text may be an identifier, or the beginning of one that runtimes show.
    package static func isIdentifier(_ text: String) -> Bool {
        text.utf8.count >= 12 && text.allSatisfy { $0.isASCII && $0.isHexDigit }
    }

    /// Whether a text is an identifier as Docker, Podman, containerd and CRI-O give them: no two containers have the same.
    package static func isWholeIdentifier(_ text: String) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }
    }
}
