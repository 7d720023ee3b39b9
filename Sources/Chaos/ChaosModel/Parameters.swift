package import LinuxSystem

/// One parameter of a fault: its name, what it may hold, and what it holds when nobody says.
/// The wire form, the JSON Schema, the command line's help and the documentation all come from it.
package struct Parameter: Sendable {
    package enum Kind: Sendable {
        case duration(ClosedRange<Duration>)
        /// A length of time with a sign, so long either way.
        case offset(ClosedRange<Duration>)
        case percentage(ClosedRange<Double>)
        case integer(ClosedRange<Int64>)
        case bytes(ClosedRange<ByteCount>)
        case rate(ClosedRange<BitRate>)
        /// One of these words.
        case choice([String])
        case boolean
        /// An absolute path without `.` and `..` parts.
        case path
        /// An address with a port.
        case endpoint
        /// A list, not empty, of at most so many.
        case networks(most: Int)
        case ports(most: Int)
        /// As the kernel has them, of interfaces and processes.
        case names(most: Int)
        /// Names of hosts.
        case hosts(most: Int)
    }

    package let name: String
    package let kind: Kind
    /// Nil: nothing is in force when nobody says.
    package let standard: JSON?
    /// Whether a request must say it.
    package let isRequired: Bool
    package let meaning: String

    package init(_ name: String, _ kind: Kind, standard: JSON? = nil, isRequired: Bool = false, meaning: String) {
        self.name = name
        self.kind = kind
        self.standard = standard
        self.isRequired = isRequired
        self.meaning = meaning
    }

    /// The values allowed, for people.
    package var range: String {
        switch kind {
        case .duration(let range): "\(range.lowerBound.text) to \(range.upperBound.text)"
        case .offset(let range):
            "\(range.lowerBound.text) to \(range.upperBound.text), or as much with a minus before it"
        case .percentage(let range):
            "\(Percentage.text(range.lowerBound)) to \(Percentage.text(range.upperBound)) percent"
        case .integer(let range): "\(range.lowerBound) to \(range.upperBound)"
        case .bytes(let range): "\(range.lowerBound.text) to \(range.upperBound.text)"
        case .rate(let range): "\(range.lowerBound.text) to \(range.upperBound.text)"
        case .choice(let words): words.joined(separator: " or ")
        case .boolean: "true or false"
        case .path: "absolute, at most \(Self.longestPath) bytes, without \".\" and \"..\" parts"
        case .endpoint: "an IPv4 address or an IPv6 one in brackets, and a port from 1 to 65535"
        case .networks(let most): "1 to \(most), without bits beyond the prefix"
        case .ports(let most): "1 to \(most), each 1 to 65535 or a range"
        case .names(let most): "1 to \(most), each at most 15 characters"
        case .hosts(let most): "1 to \(most), no addresses"
        }
    }

    fileprivate static let longestPath = 4095

    /// The value's JSON Schema (draft 2020-12).
    package var schema: JSON {
        var members: [(String, JSON?)]
        switch kind {
        case .duration:
            members = [("type", "string"), ("pattern", "^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$")]
        case .offset:
            members = [("type", "string"), ("pattern", "^[+-]?([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$")]
        case .percentage(let range):
            members = [
                ("type", "number"), ("minimum", .number(range.lowerBound)), ("maximum", .number(range.upperBound)),
            ]
        case .integer(let range):
            members = [
                ("type", "integer"), ("minimum", .integer(range.lowerBound)), ("maximum", .integer(range.upperBound)),
            ]
        case .bytes:
            members = [("type", "string"), ("pattern", "^[0-9]+(\\.[0-9]+)?(B|([kKMGT]|[KMGT]i)B?)$")]
        case .rate:
            members = [("type", "string"), ("pattern", "^[0-9]+(\\.[0-9]+)?[kKmMgG]?bit(/s)?$")]
        case .choice(let words):
            members = [("type", "string"), ("enum", .array(words.map(JSON.string)))]
        case .boolean:
            members = [("type", "boolean")]
        case .path:
            members = [("type", "string"), ("pattern", "^/"), ("maxLength", .integer(Int64(Self.longestPath)))]
        case .endpoint:
            members = [
                ("type", "string"), ("pattern", "^([0-9.]+|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5}$"), ("maxLength", 53),
            ]
        case .networks(let most):
            members = Self.list(of: "address or network, as 10.1.0.0/16", pattern: "^[0-9a-fA-F.:]+(/[0-9]+)?$", most)
        case .ports(let most):
            members = Self.list(of: "port or range, as 8000-8080", pattern: "^[0-9]+(-[0-9]+)?$", most)
        case .names(let most): members = Self.list(of: "name", pattern: "^[!-.0-~]{1,15}$", most)
        case .hosts(let most):
            members = Self.list(
                of: "host name, as db.shop", pattern: "^[0-9A-Za-z_-]{1,63}(\\.[0-9A-Za-z_-]{1,63})*\\.?$", most)
        }
        members += [("default", standard), ("description", .string(description))]
        return .object(members)
    }

    private static func list(of title: String, pattern: String, _ most: Int) -> [(String, JSON?)] {
        [
            ("type", "array"), ("minItems", 1), ("maxItems", .integer(Int64(most))),
            ("items", .object([("type", "string"), ("title", .string(title)), ("pattern", .string(pattern))])),
        ]
    }

    /// The range is said where the schema's own words cannot say it.
    private var description: String {
        switch kind {
        case .duration, .offset, .bytes, .rate, .path, .endpoint, .networks, .ports, .names, .hosts:
            "\(meaning) (\(range))"
        case .percentage, .integer, .choice, .boolean: meaning
        }
    }
}

extension Duration {
    fileprivate var magnitude: Duration { self < .zero ? .zero - self : self }
}

extension Percentage {
    fileprivate static func text(_ value: Double) -> String {
        value == value.rounded() ? String(Int64(value)) : String(value)
    }
}

/// A request's parameters, checked against a fault's own list: nothing unknown, everything in range,
/// the standard value where the request is silent.
package struct ParameterValues: Sendable {
    fileprivate enum Value {
        case duration(Duration)
        case percentage(Percentage)
        case integer(Int64)
        case bytes(ByteCount)
        case rate(BitRate)
        case boolean(Bool)
        /// A path or a choice.
        case text(String)
        case endpoint(InternetAddress)
        case networks([IPNetwork])
        case ports([PortRange])
        case names([String])
        case hosts([HostName])
    }

    private var values: [String: Value] = [:]
    /// The values in force, in the order of the fault's list.
    package private(set) var json: JSON = .object([JSON.Member]())

    /// - Throws: `field-unknown`, `field-missing` or `field-invalid`, naming the field and the range allowed.
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
            guard let value = given[parameter.name] ?? parameter.standard else {
                guard parameter.isRequired else { continue }
                throw Problem(
                    .fieldMissing, "\(parameter.name), the \(parameter.meaning), has to be given",
                    field: "parameters.\(parameter.name)", hint: parameter.range)
            }
            values[parameter.name] = try Self.read(value, as: parameter)
            inForce.append(JSON.Member(parameter.name, value))
        }
        json = .object(inForce)
    }

    fileprivate static func read(_ value: JSON, as parameter: Parameter) throws(Problem) -> Value {
        let wanted: String
        switch parameter.kind {
        case .duration(let range):
            if let duration = value.stringValue.flatMap({ Duration(text: $0) }), range.contains(duration) {
                return .duration(duration)
            }
            wanted = "a duration with its unit, as \"100ms\""
        case .offset(let range):
            if let offset = value.stringValue.flatMap({ Duration(signedText: $0) }), range.contains(offset.magnitude) {
                return .duration(offset)
            }
            wanted = "a length of time with its unit and a sign, as \"-90s\""
        case .percentage(let range):
            if let number = value.doubleValue, range.contains(number), let percentage = Percentage(number) {
                return .percentage(percentage)
            }
            wanted = "a percentage"
        case .integer(let range):
            if let integer = value.integerValue, range.contains(integer) { return .integer(integer) }
            wanted = "a whole number"
        case .bytes(let range):
            if let bytes = value.stringValue.flatMap({ ByteCount(text: $0) }), range.contains(bytes) {
                return .bytes(bytes)
            }
            wanted = "a number of bytes with its unit, as \"64MiB\""
        case .rate(let range):
            if let rate = value.stringValue.flatMap({ BitRate(text: $0) }), range.contains(rate) { return .rate(rate) }
            wanted = "a number of bits a second with its unit, as \"10Mbit\""
        case .choice(let words):
            if let word = value.stringValue, words.contains(word) { return .text(word) }
            wanted = "a word"
        case .boolean:
            if let boolean = value.booleanValue { return .boolean(boolean) }
            wanted = "a truth value"
        case .path:
            if let path = value.stringValue, isPath(path) { return .text(path) }
            wanted = "a path"
        case .endpoint:
            if let endpoint = value.stringValue.flatMap(InternetAddress.init(text:)) { return .endpoint(endpoint) }
            wanted = "an address with its port, as \"10.1.2.3:5001\" or \"[fd00::1]:5001\""
        case .networks(let most):
            if let networks = list(value, most, IPNetwork.init(text:)) { return .networks(networks) }
            wanted = "a list of addresses and networks, as [\"10.1.0.0/16\"]"
        case .ports(let most):
            if let ports = list(value, most, PortRange.init(text:)) { return .ports(ports) }
            wanted = "a list of ports and ranges, as [\"443\", \"8000-8080\"]"
        case .names(let most):
            if let names = list(value, most, kernelName) { return .names(names) }
            wanted = "a list of names, as [\"eth0\"]"
        case .hosts(let most):
            if let hosts = list(value, most, HostName.init(text:)) { return .hosts(hosts) }
            wanted = "a list of host names, as [\"db.shop\"]"
        }
        throw Problem(
            .fieldInvalid, "\(parameter.name) is \(wanted), \(parameter.range), not \(value.text)",
            field: "parameters.\(parameter.name)")
    }

    private static func list<Element>(_ value: JSON, _ most: Int, _ read: (String) -> Element?) -> [Element]? {
        guard let values = value.arrayValue, (1...most).contains(values.count) else { return nil }
        let elements = values.compactMap { $0.stringValue.flatMap(read) }
        return elements.count == values.count ? elements : nil
    }

    /// What the kernel takes, of characters that a terminal shows.
    private static func kernelName(_ text: String) -> String? {
        let isName = (1...15).contains(text.utf8.count) && text.utf8.allSatisfy { 0x21...0x7e ~= $0 && $0 != 0x2f }
        return isName ? text : nil
    }

    private static func isPath(_ text: String) -> Bool {
        // What would move a terminal's cursor is no part of a path that anybody means.
        guard text.hasPrefix("/"), text.utf8.count <= Parameter.longestPath,
            !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else { return false }
        return !text.split(separator: "/").contains { $0 == "." || $0 == ".." }
    }
}

/// Asking for a parameter with another kind than the fault's list says, or for one that may be missing as if it could
/// not, is a mistake in the fault.
extension ParameterValues {
    /// Of an offset, too.
    package func duration(_ name: String) -> Duration { Self.declared(optionalDuration(name), name) }
    package func percentage(_ name: String) -> Percentage { Self.declared(optionalPercentage(name), name) }
    package func integer(_ name: String) -> Int64 { Self.declared(optionalInteger(name), name) }
    package func bytes(_ name: String) -> ByteCount { Self.declared(optionalBytes(name), name) }
    package func rate(_ name: String) -> BitRate { Self.declared(optionalRate(name), name) }
    package func boolean(_ name: String) -> Bool { Self.declared(optionalBoolean(name), name) }
    /// Of a path or a choice.
    package func text(_ name: String) -> String { Self.declared(optionalText(name), name) }
    package func endpoint(_ name: String) -> InternetAddress { Self.declared(optionalEndpoint(name), name) }

    package func optionalDuration(_ name: String) -> Duration? {
        guard case .duration(let value)? = values[name] else { return nil }
        return value
    }

    package func optionalPercentage(_ name: String) -> Percentage? {
        guard case .percentage(let value)? = values[name] else { return nil }
        return value
    }

    package func optionalInteger(_ name: String) -> Int64? {
        guard case .integer(let value)? = values[name] else { return nil }
        return value
    }

    package func optionalBytes(_ name: String) -> ByteCount? {
        guard case .bytes(let value)? = values[name] else { return nil }
        return value
    }

    package func optionalRate(_ name: String) -> BitRate? {
        guard case .rate(let value)? = values[name] else { return nil }
        return value
    }

    package func optionalBoolean(_ name: String) -> Bool? {
        guard case .boolean(let value)? = values[name] else { return nil }
        return value
    }

    package func optionalText(_ name: String) -> String? {
        guard case .text(let value)? = values[name] else { return nil }
        return value
    }

    package func optionalEndpoint(_ name: String) -> InternetAddress? {
        guard case .endpoint(let value)? = values[name] else { return nil }
        return value
    }

    package func optionalNetworks(_ name: String) -> [IPNetwork]? {
        guard case .networks(let value)? = values[name] else { return nil }
        return value
    }

    package func optionalPorts(_ name: String) -> [PortRange]? {
        guard case .ports(let value)? = values[name] else { return nil }
        return value
    }

    package func optionalNames(_ name: String) -> [String]? {
        guard case .names(let value)? = values[name] else { return nil }
        return value
    }

    package func optionalHosts(_ name: String) -> [HostName]? {
        guard case .hosts(let value)? = values[name] else { return nil }
        return value
    }

    private static func declared<Value>(_ value: Value?, _ name: String) -> Value {
        guard let value else { preconditionFailure("parameter \(name) is not declared with this kind") }
        return value
    }
}

extension Parameter {
    /// In nanoseconds, of an offset whatever its sign, percent, bytes or bits a second; nil for what is no value of this parameter, or has no order.
    package func magnitude(of value: JSON) -> Double? {
        switch try? ParameterValues.read(value, as: self) {
        case .duration(let duration): Double(duration.magnitude.wholeNanoseconds)
        case .percentage(let percentage): percentage.value
        case .integer(let integer): Double(integer)
        case .bytes(let bytes): Double(bytes.value)
        case .rate(let rate): Double(rate.bitsPerSecond)
        case .boolean, .text, .endpoint, .networks, .ports, .names, .hosts, nil: nil
        }
    }
}
