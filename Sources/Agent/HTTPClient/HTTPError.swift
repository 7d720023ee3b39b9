/// Why there is no HTTP response: for people, lower case, no full stop.
package struct HTTPError: Error, Hashable, Sendable, CustomStringConvertible {
    package let reason: String

    package init(reason: String) { self.reason = reason }

    package var description: String { reason }
}
