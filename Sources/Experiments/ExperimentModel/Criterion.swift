package import ChaosModel
import Glibc

/// What a value is held against, with the words of Litmus's comparator.
package struct Criterion: Sendable {
    package enum Kind: String, CaseIterable, Sendable { case int, float, string }

    package static let numberCriteria = ["==", "!=", "<=", ">=", "<", ">", "oneOf", "between"]
    package static let textCriteria = [
        "equal", "notEqual", "contains", "notContains", "matches", "notMatches", "oneOf",
    ]

    /// Nil where the expected value's own type tells.
    package let kind: Kind?
    package let criteria: String
    package let value: Template

    package init(kind: Kind?, criteria: String, value: Template) {
        self.kind = kind
        self.criteria = criteria
        self.value = value
    }

    package var words: String { "\(criteria) \(value.source.text)" }

    /// - Returns: Nil when the value is as expected; otherwise what is wrong with it.
    package func objection(to actual: String, in context: JSON) throws(TemplateError) -> String? {
        let expected = try value.value(in: context)
        let isAsExpected = try kind(of: expected) == .string ? judge(actual, expected) : judgeNumber(actual, expected)
        return isAsExpected ? nil : "\(actual.cut(to: 200)), expected \(criteria) \(expected.text.cut(to: 200))"
    }

    /// - Throws: When the criterion cannot be held against such a value.
    package func check(_ expected: JSON) throws(TemplateError) {
        _ = try kind(of: expected) == .string ? judge("", expected) : judgeNumber("0", expected)
    }

    private func kind(of expected: JSON) -> Kind {
        if let kind { return kind }
        if ["<=", ">=", "<", ">", "between"].contains(criteria) { return .float }
        let first = expected.arrayValue?.first ?? expected
        return first.doubleValue == nil || Self.textCriteria.dropLast().contains(criteria) ? .string : .float
    }

    private func judge(_ actual: String, _ expected: JSON) throws(TemplateError) -> Bool {
        if criteria == "oneOf" { return try list(expected).contains { Self.text($0) == actual } }
        let text = Self.text(expected)
        switch criteria {
        case "equal", "==": return actual == text
        case "notEqual", "!=": return actual != text
        case "contains": return actual.contains(text)
        case "notContains": return !actual.contains(text)
        case "matches", "notMatches": return try Self.matches(actual, text) == (criteria == "matches")
        default:
            throw TemplateError(
                "texts are compared by \(Self.textCriteria.joined(separator: ", ")), not by \(criteria)")
        }
    }

    private func judgeNumber(_ actual: String, _ expected: JSON) throws(TemplateError) -> Bool {
        guard let actual = Double(actual), !actual.isNaN else { return false }
        switch criteria {
        case "oneOf": return try list(expected).contains { $0.doubleValue == actual }
        case "between":
            let bounds = try list(expected).compactMap(\.doubleValue)
            guard bounds.count == 2, bounds[0] <= bounds[1] else {
                throw TemplateError("between takes two numbers, the lower one first")
            }
            return bounds[0] <= actual && actual <= bounds[1]
        default: break
        }
        guard let limit = expected.doubleValue ?? expected.stringValue.flatMap({ Double($0) }) else {
            throw TemplateError("\(expected.text.cut(to: 64)) is no number")
        }
        switch criteria {
        case "==", "equal": return actual == limit
        case "!=", "notEqual": return actual != limit
        case "<=": return actual <= limit
        case ">=": return actual >= limit
        case "<": return actual < limit
        case ">": return actual > limit
        default:
            throw TemplateError(
                "numbers are compared by \(Self.numberCriteria.joined(separator: ", ")), not by \(criteria)")
        }
    }

    private func list(_ expected: JSON) throws(TemplateError) -> [JSON] {
        guard let values = expected.arrayValue else { throw TemplateError("\(criteria) takes a list") }
        return values
    }

    /// Whether an extended regular expression, as POSIX has them, matches somewhere. It takes no longer than the text is long,
    /// whatever somebody else has written there.
    private static func matches(_ text: String, _ pattern: String) throws(TemplateError) -> Bool {
        var expression = regex_t()
        guard !pattern.utf8.contains(0), regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB) == 0 else {
            throw TemplateError("\"\(pattern.cut(to: 64))\" is no regular expression")
        }
        defer { regfree(&expression) }
        return regexec(&expression, text.cut(to: longestMatched), 0, nil, 0) == 0
    }

    private static let longestMatched = 1 << 16

    private static func text(_ value: JSON) -> String { value.stringValue ?? value.text }
}
