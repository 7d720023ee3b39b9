import ChaosModel

/// A name of Kubernetes, of a fault, of a unit of systemd or of a container, or a pattern of names: `*` stands for any run of characters.
package struct NamePattern: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    /// Nil for anything but 1 to 253 lower-case letters, digits, `-`, `.` and at most four `*`.
    package init?(_ text: String) {
        let isName = text.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || [0x2A, 0x2D, 0x2E].contains($0)
        }
        guard isName, (1...253).contains(text.utf8.count), text.utf8.count(where: { $0 == 0x2A }) <= 4 else {
            return nil
        }
        self.text = text
    }

    /// For units of systemd. A name without any suffix is a service's, as `UnitName` has it.
    ///
    /// Nil for anything but 1 to 255 characters of such names and at most four `*`.
    package init?(unit text: String) {
        let full = UnitName.isWhole(text) || text.hasSuffix("*") ? text : "\(text).service"
        guard full.utf8.allSatisfy({ $0 == 0x2A || UnitName.isPart($0) }),
            (1...UnitName.maximumLength).contains(text.utf8.count), full.utf8.count(where: { $0 == 0x2A }) <= 4
        else { return nil }
        self.text = full
    }

    /// For containers that are no pod's.
    ///
    /// Nil for anything but 1 to 128 characters of their names and at most four `*`.
    package init?(container text: String) {
        guard text.utf8.allSatisfy({ $0 == 0x2A || ContainerName.isPart($0) }),
            (1...ContainerName.maximumLength).contains(text.utf8.count), text.utf8.count(where: { $0 == 0x2A }) <= 4
        else { return nil }
        self.text = text
    }

    package func matches(_ name: String) -> Bool {
        Self.matches(text.utf8[...], name.utf8[...])
    }

    private static func matches(_ pattern: Substring.UTF8View, _ name: Substring.UTF8View) -> Bool {
        guard let first = pattern.first else { return name.isEmpty }
        let rest = pattern.dropFirst()
        guard first == 0x2A else { return name.first == first && matches(rest, name.dropFirst()) }
        return matches(rest, name) || (!name.isEmpty && matches(pattern, name.dropFirst()))
    }

    package var description: String { text }
}

extension Sequence<NamePattern> {
    func match(_ name: String) -> Bool { contains { $0.matches(name) } }
}
