/// The name of a unit of systemd that has processes of its own: a service or a scope, as `nginx.service`.
///
/// systemd.unit(5) says what a unit may be called.
package struct UnitName: Hashable, Sendable, CustomStringConvertible {
    package static let suffixes = [".service", ".scope"]
    package static let maximumLength = 255

    package let description: String

    /// Nil for what is no such unit. A name without any suffix is a service's.
    package init?(_ text: String) {
        let name = Self.isWhole(text) ? text : "\(text).service"
        let isKnown = Self.suffixes.contains { name.hasSuffix($0) && name.utf8.count > $0.utf8.count }
        guard isKnown, name.utf8.count <= Self.maximumLength,
            name.utf8.allSatisfy(Self.isPart)
        else { return nil }
        description = name
    }

    /// Whether a text ends with what systemd calls a kind of unit, as systemctl looks at it.
    package static func isWhole(_ text: String) -> Bool {
        ["service", "scope", "socket", "slice", "target", "timer", "mount", "automount", "swap", "path", "device"]
            .contains { text.hasSuffix(".\($0)") }
    }

    /// Whether a byte may be in a unit's name.
    package static func isPart(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: ":-_.\\@".utf8.contains(byte)
        }
    }
}

/// What kind of thing a target is, as far as a policy tells them apart.
package enum TargetClass: Hashable, Sendable {
    case container
    /// A container that is no pod's, by its name on this node.
    case standalone(String)
    case unit(UnitName)
    /// A process or a cgroup by its number or path.
    case partOfHost
    case host
}
