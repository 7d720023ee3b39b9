/// Why a text is not the JSON that is accepted here.
package struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    package let offset: Int
    package let reason: String

    package var description: String { "\(reason) at byte \(offset)" }
}

extension JSON {
    /// - Parameter maximumDepth: How deep arrays and objects may nest.
    package init(parsing text: some Collection<UInt8>, maximumDepth: Int = 16) throws(JSONError) {
        var reader = JSONReader(bytes: Array(text), depthLeft: maximumDepth)
        self = try reader.document()
    }

    package init(parsing text: String) throws(JSONError) {
        self = try JSON(parsing: Array(text.utf8))
    }

    /// One line, no blanks, members in their order.
    package var text: String { String(decoding: bytes, as: UTF8.self) }

    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        write(to: &bytes)
        return bytes
    }

    /// Indented, for people.
    package var prettyText: String {
        var bytes: [UInt8] = []
        write(to: &bytes, indentation: 0)
        return String(decoding: bytes, as: UTF8.self)
    }

    private func write(to bytes: inout [UInt8], indentation: Int? = nil) {
        switch self {
        case .null: bytes += "null".utf8
        case .boolean(let value): bytes += (value ? "true" : "false").utf8
        case .integer(let value): bytes += String(value).utf8
        case .number(let value): bytes += (value.isFinite ? "\(value)" : "null").utf8
        case .string(let value): Self.write(value, to: &bytes)
        case .array(let values):
            Self.writeList(values, between: "[", "]", to: &bytes, indentation: indentation) { value, bytes, deeper in
                value.write(to: &bytes, indentation: deeper)
            }
        case .object(let members):
            Self.writeList(members, between: "{", "}", to: &bytes, indentation: indentation) { member, bytes, deeper in
                Self.write(member.name, to: &bytes)
                bytes += (deeper == nil ? ":" : ": ").utf8
                member.value.write(to: &bytes, indentation: deeper)
            }
        }
    }

    private static func writeList<Element>(
        _ elements: [Element], between open: String, _ close: String, to bytes: inout [UInt8], indentation: Int?,
        _ body: (Element, inout [UInt8], Int?) -> Void
    ) {
        let deeper = indentation.map { $0 + 1 }
        func breakLine(_ depth: Int) {
            bytes.append(0x0A)
            bytes.append(contentsOf: repeatElement(0x20, count: 2 * depth))
        }
        bytes += open.utf8
        for (index, element) in elements.enumerated() {
            if index > 0 { bytes += ",".utf8 }
            if let deeper { breakLine(deeper) }
            body(element, &bytes, deeper)
        }
        if let indentation, !elements.isEmpty { breakLine(indentation) }
        bytes += close.utf8
    }

    private static func write(_ string: String, to bytes: inout [UInt8]) {
        let quote = UInt8(ascii: "\"")
        let backslash = UInt8(ascii: "\\")
        bytes.append(quote)
        for byte in string.utf8 {
            switch byte {
            case quote, backslash: bytes += [backslash, byte]
            case 0x0A: bytes += "\\n".utf8
            case 0x0D: bytes += "\\r".utf8
            case 0x09: bytes += "\\t".utf8
            case 0..<0x20, 0x7F: bytes += "\\u00\(byte < 0x10 ? "0" : "")\(String(byte, radix: 16))".utf8
            default: bytes.append(byte)
            }
        }
        bytes.append(quote)
    }
}

/// A recursive-descent reader over bytes; the depth left bounds its recursion.
private struct JSONReader {
    let bytes: [UInt8]
    var position = 0
    var depthLeft: Int

    init(bytes: [UInt8], depthLeft: Int) {
        self.bytes = bytes
        self.depthLeft = depthLeft
    }

    mutating func document() throws(JSONError) -> JSON {
        let value = try value()
        skipBlanks()
        if position < bytes.count { throw failure("trailing characters") }
        return value
    }

    private func failure(_ reason: String) -> JSONError { JSONError(offset: position, reason: reason) }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipBlanks() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func value() throws(JSONError) -> JSON {
        skipBlanks()
        switch next {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .boolean(true))
        case UInt8(ascii: "f"): return try word("false", .boolean(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case .some: return try number()
        case nil: throw failure("unexpected end")
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        for index in 0..<word.utf8CodeUnitCount {
            guard next == word.utf8Start[index] else { throw failure("unexpected character") }
            position += 1
        }
        return value
    }

    private mutating func nested(_ body: (inout Self) throws(JSONError) -> JSON) throws(JSONError) -> JSON {
        guard depthLeft > 0 else { throw failure("nested too deeply") }
        depthLeft -= 1
        defer { depthLeft += 1 }
        position += 1
        return try body(&self)
    }

    private mutating func object() throws(JSONError) -> JSON {
        try nested { (reader: inout Self) throws(JSONError) -> JSON in
            var members: [JSON.Member] = []
            var seen: Set<String> = []
            reader.skipBlanks()
            if reader.take("}") { return .object(members) }
            repeat {
                reader.skipBlanks()
                guard reader.next == UInt8(ascii: "\"") else { throw reader.failure("expected a member's name") }
                let name = try reader.string()
                guard seen.insert(name).inserted else { throw reader.failure("duplicate member \"\(name)\"") }
                reader.skipBlanks()
                guard reader.take(":") else { throw reader.failure("expected ':'") }
                members.append(JSON.Member(name, try reader.value()))
                reader.skipBlanks()
            } while reader.take(",")
            guard reader.take("}") else { throw reader.failure("expected ',' or '}'") }
            return .object(members)
        }
    }

    private mutating func array() throws(JSONError) -> JSON {
        try nested { (reader: inout Self) throws(JSONError) -> JSON in
            var values: [JSON] = []
            reader.skipBlanks()
            if reader.take("]") { return .array(values) }
            repeat {
                values.append(try reader.value())
                reader.skipBlanks()
            } while reader.take(",")
            guard reader.take("]") else { throw reader.failure("expected ',' or ']'") }
            return .array(values)
        }
    }

    private mutating func digits() -> Bool {
        let start = position
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
        return position > start
    }

    private mutating func number() throws(JSONError) -> JSON {
        let start = position
        var isInteger = true
        _ = take("-")
        let leadingZero = next == UInt8(ascii: "0")
        let firstDigit = position
        guard digits(), !(leadingZero && position > firstDigit + 1) else { throw failure("malformed number") }
        if take(".") {
            isInteger = false
            guard digits() else { throw failure("malformed number") }
        }
        if take("e") || take("E") {
            isInteger = false
            if !take("+") { _ = take("-") }
            guard digits() else { throw failure("malformed number") }
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger {
            guard let value = Int64(text) else { throw failure("number out of range") }
            return .integer(value)
        }
        guard let value = Double(text), value.isFinite else { throw failure("number out of range") }
        return .number(value)
    }

    private mutating func string() throws(JSONError) -> String {
        position += 1
        var text: [UInt8] = []
        // What needs nothing done to it is taken as one piece.
        var pieceStart = position
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                text += bytes[pieceStart..<position - 1]
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw failure("string is not UTF-8")
                }
                return string
            case UInt8(ascii: "\\"):
                text += bytes[pieceStart..<position - 1]
                text.append(contentsOf: String(try escape()).utf8)
                pieceStart = position
            case 0..<0x20: throw failure("control character in a string")
            default: break
            }
        }
        throw failure("unexpected end of a string")
    }

    private mutating func escape() throws(JSONError) -> Unicode.Scalar {
        guard let byte = next else { throw failure("unexpected end of a string") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try unicodeEscape()
        default: throw failure("unknown escape")
        }
    }

    private mutating func unicodeEscape() throws(JSONError) -> Unicode.Scalar {
        let first = try codeUnit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard UTF16.isLeadSurrogate(UInt16(first)), take("\\"), take("u") else { throw failure("lone surrogate") }
        let second = try codeUnit()
        guard UTF16.isTrailSurrogate(UInt16(second)),
            let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
        else { throw failure("lone surrogate") }
        return scalar
    }

    private mutating func codeUnit() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw failure("malformed \\u escape")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}
