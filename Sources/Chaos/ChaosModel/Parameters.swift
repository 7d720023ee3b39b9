/// One parameter of a fault: its name, what it may hold, and what it holds when nobody says.
/// The wire form, the JSON Schema, the command line's help and the documentation all come from it.
package struct Parameter: Sendable {
    package enum Kind: Sendable {
        case duration(ClosedRange<Duration>)
        case percentage(ClosedRange<Double>)
        case integer(ClosedRange<Int64>)
    }

    package let name: String
    package let kind: Kind
    package let standard: JSON
    package let meaning: String

    package init(_ name: String, _ kind: Kind, standard: JSON, meaning: String) {
        self.name = name
        self.kind = kind
        self.standard = standard
        self.meaning = meaning
    }

    /// The values allowed, for people.
    package var range: String {
        switch kind {
        case .duration(let range): "\(range.lowerBound.text) to \(range.upperBound.text)"
        case .percentage(let range):
            "\(Percentage.text(range.lowerBound)) to \(Percentage.text(range.upperBound)) percent"
        case .integer(let range): "\(range.lowerBound) to \(range.upperBound)"
        }
    }

    /// The value's JSON Schema (draft 2020-12).
    package var schema: JSON {
        switch kind {
        case .duration:
            [
                "type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$", "default": standard,
                "description": .string("\(meaning) (\(range))"),
            ]
        case .percentage(let range):
            [
                "type": "number", "minimum": .number(range.lowerBound), "maximum": .number(range.upperBound),
                "default": standard, "description": .string(meaning),
            ]
        case .integer(let range):
            [
                "type": "integer", "minimum": .integer(range.lowerBound), "maximum": .integer(range.upperBound),
                "default": standard, "description": .string(meaning),
            ]
        }
    }
}

extension Percentage {
    fileprivate static func text(_ value: Double) -> String {
        value == value.rounded() ? String(Int64(value)) : String(value)
    }
}

/// A request's parameters, checked against a fault's own list: nothing unknown, everything in range,
/// the standard value where the request is silent.
package struct ParameterValues: Sendable {
    private var durations: [String: Duration] = [:]
    private var percentages: [String: Percentage] = [:]
    private var integers: [String: Int64] = [:]
    /// The values in force, in the order of the fault's list.
    package private(set) var json: JSON = .object([JSON.Member]())

    /// - Throws: `field-unknown` or `field-invalid`, naming the field and the range allowed.
    package init(_ given: JSON, of parameters: [Parameter]) throws(Problem) {
        guard let members = given.members else {
            throw Problem(.fieldInvalid, "parameters are an object, not \(given.typeName)", field: "parameters")
        }
        for member in members where !parameters.contains(where: { $0.name == member.name }) {
            throw Problem(
                .fieldUnknown, "this fault has no such parameter", field: "parameters.\(member.name)",
                hint: "known: \(parameters.map(\.name).joined(separator: ", "))")
        }
        var inForce: [JSON.Member] = []
        for parameter in parameters {
            let value = given[parameter.name] ?? parameter.standard
            try read(value, as: parameter)
            inForce.append(JSON.Member(parameter.name, value))
        }
        json = .object(inForce)
    }

    private mutating func read(_ value: JSON, as parameter: Parameter) throws(Problem) {
        func refusal(_ what: String) -> Problem {
            Problem(
                .fieldInvalid, "\(parameter.name) is \(what), \(parameter.range), not \(value.text)",
                field: "parameters.\(parameter.name)")
        }
        switch parameter.kind {
        case .duration(let range):
            guard let duration = value.stringValue.flatMap({ Duration(text: $0) }), range.contains(duration) else {
                throw refusal("a duration with its unit, as \"100ms\"")
            }
            durations[parameter.name] = duration
        case .percentage(let range):
            guard let number = value.doubleValue, range.contains(number), let percentage = Percentage(number) else {
                throw refusal("a percentage")
            }
            percentages[parameter.name] = percentage
        case .integer(let range):
            guard let integer = value.integerValue, range.contains(integer) else { throw refusal("a whole number") }
            integers[parameter.name] = integer
        }
    }

    /// Asking for a parameter that the fault's list does not have is a mistake in the fault.
    package func duration(_ name: String) -> Duration { Self.declared(durations[name], name) }
    package func percentage(_ name: String) -> Percentage { Self.declared(percentages[name], name) }
    package func integer(_ name: String) -> Int64 { Self.declared(integers[name], name) }

    private static func declared<Value>(_ value: Value?, _ name: String) -> Value {
        guard let value else { preconditionFailure("parameter \(name) is not declared with this kind") }
        return value
    }
}
