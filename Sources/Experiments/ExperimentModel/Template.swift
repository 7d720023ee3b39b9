package import ChaosModel

/// A value in which `${{ path }}` stands for what an input or an earlier step has: `inputs.limit`, `steps.find.output.pod`,
/// `steps.find.output[0].name`, `experiment.id`. A text that is nothing else becomes the value itself, of whatever type; within a
/// longer text it becomes a part of that.
package struct Template: Hashable, Sendable {
    /// As it was written.
    package let source: JSON
    /// What it refers to.
    package let references: [Reference]

    /// - Throws: When what stands between `${{` and `}}` is no path.
    package init(_ source: JSON) throws(TemplateError) {
        self.source = source
        references = try Self.references(in: source)
    }

    /// A value that refers to nothing.
    package init(fixed source: JSON) {
        self.source = source
        references = []
    }

    /// The value, where it depends on nothing.
    package var fixed: JSON? { references.isEmpty ? source : nil }

    /// - Parameter context: An object with `inputs`, `steps` and `experiment`.
    /// - Throws: When something that it refers to is not there.
    package func value(in context: JSON) throws(TemplateError) -> JSON {
        references.isEmpty ? source : try Self.value(of: source, in: context)
    }

    private static func value(of source: JSON, in context: JSON) throws(TemplateError) -> JSON {
        switch source {
        case .null, .boolean, .integer, .number: return source
        case .array(let elements):
            var values: [JSON] = []
            for element in elements { values.append(try value(of: element, in: context)) }
            return .array(values)
        case .object(let members):
            var values: [JSON.Member] = []
            for member in members { values.append(JSON.Member(member.name, try value(of: member.value, in: context))) }
            return .object(values)
        case .string(let text):
            let pieces = try pieces(of: text)
            if pieces.count == 1, case .reference(let reference) = pieces[0] { return try reference.value(in: context) }
            var result = ""
            for piece in pieces {
                switch piece {
                case .text(let words): result += words
                case .reference(let reference): result += try reference.text(in: context)
                }
            }
            return .string(result)
        }
    }

    private enum Piece {
        case text(Substring)
        case reference(Reference)
    }

    private static func pieces(of text: String) throws(TemplateError) -> [Piece] {
        var pieces: [Piece] = []
        var rest = Substring(text)
        while let start = rest.firstRange(of: "${{") {
            if start.lowerBound > rest.startIndex { pieces.append(.text(rest[..<start.lowerBound])) }
            guard let end = rest[start.upperBound...].firstRange(of: "}}") else {
                throw TemplateError("\"${{\" without \"}}\"")
            }
            pieces.append(.reference(try Reference(rest[start.upperBound..<end.lowerBound])))
            rest = rest[end.upperBound...]
        }
        if !rest.isEmpty || pieces.isEmpty { pieces.append(.text(rest)) }
        return pieces
    }

    private static func references(in source: JSON) throws(TemplateError) -> [Reference] {
        var found: [Reference] = []
        switch source {
        case .null, .boolean, .integer, .number: break
        case .array(let elements): for element in elements { found += try references(in: element) }
        case .object(let members): for member in members { found += try references(in: member.value) }
        case .string(let text):
            for piece in try pieces(of: text) { if case .reference(let reference) = piece { found.append(reference) } }
        }
        return found
    }
}

/// What `${{ }}` names.
package struct Reference: Hashable, Sendable, CustomStringConvertible {
    package enum Part: Hashable, Sendable {
        case member(String)
        case element(Int)
    }

    package let parts: [Part]
    package let description: String

    init(_ text: Substring) throws(TemplateError) {
        let path = text.drop { $0 == " " }
        let trimmed = String(path.reversed().drop { $0 == " " }.reversed())
        description = trimmed
        var parts: [Part] = []
        for word in trimmed.split(separator: ".", omittingEmptySubsequences: false) {
            let pieces = word.split(separator: "[", omittingEmptySubsequences: false)
            let name = pieces[0]
            guard !name.isEmpty, name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-_/".contains($0)) })
            else {
                throw TemplateError("\"\(trimmed.cut(to: 64))\" is no path, as inputs.limit or steps.find.output.pod")
            }
            parts.append(.member(String(name)))
            for piece in pieces.dropFirst() {
                guard piece.last == "]", let index = Int(piece.dropLast()), (0...9999).contains(index) else {
                    throw TemplateError("\"\(trimmed.cut(to: 64))\" has no number in its brackets")
                }
                parts.append(.element(index))
            }
        }
        self.parts = parts
    }

    func value(in context: JSON) throws(TemplateError) -> JSON {
        var value = context
        for part in parts {
            let next: JSON? =
                switch part {
                case .member(let name): value[name]
                case .element(let index): value.arrayValue.flatMap { index < $0.count ? $0[index] : nil }
                }
            guard let next else {
                let there =
                    switch value {
                    case .object(let members):
                        members.isEmpty
                            ? "there is nothing" : "there are \(members.map(\.name).joined(separator: ", "))"
                    case .array(let elements): "there are \(elements.count)"
                    case .null, .boolean, .integer, .number, .string: "it is \(value.typeName) there"
                    }
                throw TemplateError("\(description) is not there: \(there.cut(to: 200))")
            }
            value = next
        }
        if value == .null { throw TemplateError("\(description) is null") }
        return value
    }

    /// As a part of a text.
    func text(in context: JSON) throws(TemplateError) -> String {
        switch try value(in: context) {
        case .string(let text): text
        case let value: value.text
        }
    }
}

/// Why a template has no value.
package struct TemplateError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
