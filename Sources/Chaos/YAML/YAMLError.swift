/// Why a text is not taken, and where: a configuration is mended by a person with an editor.
package struct YAMLError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Counted from 1.
    package let line: Int
    /// For people: lower case, no full stop.
    package let reason: String

    package init(_ reason: String, line: Int) {
        self.reason = reason
        self.line = line
    }

    package var description: String { "line \(line): \(reason)" }
}
