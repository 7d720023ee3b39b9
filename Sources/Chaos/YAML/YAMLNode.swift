package import ChaosModel

/// A value in a YAML text, and the line that it begins on.
///
/// Of YAML this takes what configurations need: no anchors, aliases, tags or merges, one document, keys that are texts
/// and that appear once.
package struct YAMLNode: Hashable, Sendable {
    package enum Value: Hashable, Sendable {
        case scalar(JSON)
        case sequence([YAMLNode])
        case mapping([Member])
    }

    package struct Member: Hashable, Sendable {
        package let name: String
        /// Where the name is.
        package let line: Int
        package let value: YAMLNode
    }

    /// Counted from 1.
    package let line: Int
    package let value: Value

    init(_ value: Value, line: Int) {
        self.value = value
        self.line = line
    }

    package var json: JSON {
        switch value {
        case .scalar(let scalar): scalar
        case .sequence(let elements): .array(elements.map(\.json))
        case .mapping(let members): .object(members.map { JSON.Member($0.name, $0.value.json) })
        }
    }
}

extension JSON {
    /// What an unquoted scalar means: as in YAML 1.2's core schema (section 10.3.2), but only decimal numbers are any. `yes`,
    /// `on`, `1_000` and `0x1F` are texts.
    init(plainScalar text: String) throws(PlainScalarError) {
        switch text {
        case "", "~", "null", "Null", "NULL": self = .null
        case "true", "True", "TRUE": self = .boolean(true)
        case "false", "False", "FALSE": self = .boolean(false)
        default:
            guard let first = text.utf8.first, (0x30...0x39).contains(first) || [0x2B, 0x2D, 0x2E].contains(first)
            else {
                self = .string(text)
                return
            }
            // What begins as a number and is none, as `30s` or `10.0.0.0/8`, is a text.
            let digits = text.utf8.drop { $0 == 0x2B || $0 == 0x2D }
            let isNumber =
                !digits.isEmpty && text.utf8.count - digits.count <= 1
                && digits.allSatisfy { (0x30...0x39).contains($0) || [0x2E, 0x65, 0x45, 0x2B, 0x2D].contains($0) }
            if isNumber, let integer = Int64(text) {
                self = .integer(integer)
            } else if isNumber, let number = Double(text) {
                guard number.isFinite else { throw PlainScalarError() }
                self = .number(number)
            } else {
                self = .string(text)
            }
        }
    }
}

/// A number that does not fit.
struct PlainScalarError: Error {}
