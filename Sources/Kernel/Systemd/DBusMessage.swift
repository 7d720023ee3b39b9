/// A call of a method of systemd's, with texts as its arguments (D-Bus specification, "Message Protocol").
package struct DBusCall {
    private static let destination = "org.freedesktop.systemd1"
    private static let manager = "/org/freedesktop/systemd1"

    let path: String
    let interface: String
    let member: String
    let arguments: [String]

    private init(_ path: String, _ interface: String, _ member: String, _ arguments: [String]) {
        (self.path, self.interface, self.member, self.arguments) = (path, interface, member, arguments)
    }

    /// Of the manager.
    package init(member: String, arguments: [String]) {
        self.init(Self.manager, "org.freedesktop.systemd1.Manager", member, arguments)
    }

    /// - Parameter interface: `Unit` for what all kinds of units have, or the kind.
    package static func property(_ name: String, of unit: String, as interface: String) -> DBusCall {
        DBusCall(
            path(of: unit), "org.freedesktop.DBus.Properties", "Get", ["org.freedesktop.systemd1.\(interface)", name])
    }

    /// Where systemd has the object of a unit: letters stand for themselves, and digits but for the first.
    package static func path(of unit: String) -> String {
        let label = unit.utf8.enumerated().map { place, byte in
            let isLetter = (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            if isLetter || place > 0 && (0x30...0x39).contains(byte) { return String(UnicodeScalar(byte)) }
            let digits = String(byte, radix: 16)
            return "_" + String(repeating: "0", count: 2 - digits.count) + digits
        }
        return "\(manager)/unit/\(label.joined())"
    }

    /// As on the wire, little-endian.
    package func bytes(serial: UInt32) -> [UInt8] {
        var body = DBusWriter()
        for text in arguments { body.string(text) }
        var fields = DBusWriter()
        fields.field(1, "o", path)
        fields.field(2, "s", interface)
        fields.field(3, "s", member)
        fields.field(6, "s", Self.destination)
        fields.field(8, "g", String(repeating: "s", count: arguments.count))
        var message = DBusWriter()
        // Little-endian, a call, no flags, version 1.
        message.bytes = [UInt8(ascii: "l"), 1, 0, 1]
        message.number(UInt32(body.bytes.count))
        message.number(serial)
        message.number(UInt32(fields.bytes.count))
        message.bytes += fields.bytes
        message.align(to: 8)
        return message.bytes + body.bytes
    }
}

/// Where every value begins at a multiple of its own size. The fields of a header begin at one of 8, too, so that they can be
/// written apart.
private struct DBusWriter {
    var bytes: [UInt8] = []

    mutating func align(to size: Int) { while !bytes.count.isMultiple(of: size) { bytes.append(0) } }

    mutating func number(_ value: UInt32) {
        align(to: 4)
        for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    mutating func string(_ text: String) {
        number(UInt32(text.utf8.count))
        bytes += Array(text.utf8) + [0]
    }

    /// A number, and a variant of a text or a signature.
    mutating func field(_ code: UInt8, _ type: Character, _ text: String) {
        align(to: 8)
        bytes += [code, 1] + Array(String(type).utf8) + [0]
        if type == "g" {
            bytes += [UInt8(text.utf8.count)] + Array(text.utf8) + [0]
        } else {
            string(text)
        }
    }
}

/// What came back for a call, or something that came meanwhile.
package struct DBusReply: Equatable {
    package struct Failure: Equatable {
        package let name: String
        package let words: String

        package init(name: String, words: String) {
            self.name = name
            self.words = words
        }
    }

    /// 2 is an answer, 3 an error, 4 a signal.
    package let type: UInt8
    /// Of which call it is.
    package let replySerial: UInt32?
    package let error: Failure?
    /// Where its body is a text, a number of 64 bits or a boolean, or begins with a number of 32 bits, or is a variant of one.
    package let text: String?
    /// Where it is a list of texts, or a variant of one.
    package let list: [String]?

    package init(
        type: UInt8, replySerial: UInt32?, error: Failure? = nil, text: String? = nil, list: [String]? = nil
    ) {
        (self.type, self.replySerial, self.error, self.text, self.list) = (type, replySerial, error, text, list)
    }

    /// - Returns: The first message in there, and how many bytes it has; nil when it is not whole yet.
    /// - Throws: `malformed`.
    package static func first(
        in bytes: [UInt8], atMost longest: Int
    ) throws(SystemdError) -> (reply: DBusReply, length: Int)? {
        guard bytes.count >= 16 else { return nil }
        var reader = DBusReader(bytes: bytes)
        guard bytes[0] == UInt8(ascii: "l"), bytes[3] == 1 else { throw .malformed }
        reader.position = 4
        let (bodyLength, _, fieldsLength) = (try reader.number(), try reader.number(), try reader.number())
        guard bodyLength <= longest, fieldsLength <= longest else { throw .malformed }
        let fieldsEnd = 16 + Int(fieldsLength)
        let bodyStart = (fieldsEnd + 7) / 8 * 8
        let length = bodyStart + Int(bodyLength)
        guard length <= longest else { throw .malformed }
        guard bytes.count >= length else { return nil }
        reader.bytes = Array(bytes[..<length])
        var (serial, name, signature): (UInt32?, String?, String) = (nil, nil, "")
        while reader.position < fieldsEnd {
            reader.align(to: 8)
            let code = try reader.byte()
            let type = try reader.signature()
            switch (code, type) {
            case (5, "u"): serial = try reader.number()
            case (4, "s"): name = try reader.string()
            case (8, "g"): signature = try reader.signature()
            case (_, "s"), (_, "o"): _ = try reader.string()
            case (_, "g"): _ = try reader.signature()
            case (_, "u"): _ = try reader.number()
            default: throw .malformed
            }
        }
        reader.position = bodyStart
        if signature == "v" { signature = try reader.signature() }
        let text: String? =
            switch signature {
            case "t": "\(try reader.longNumber())"
            case "b": try reader.number() == 0 ? "no" : "yes"
            case "(uo)": "\(try reader.numberOfStructure())"
            default: signature.first == "s" ? try reader.string() : nil
            }
        let list = signature == "as" ? try reader.strings() : nil
        let type = bytes[1]
        let failure = type == 3 ? Failure(name: name ?? "", words: text ?? name ?? "") : nil
        return (DBusReply(type: type, replySerial: serial, error: failure, text: text, list: list), length)
    }
}

private struct DBusReader {
    var bytes: [UInt8]
    var position = 0

    mutating func align(to size: Int) { position = (position + size - 1) / size * size }

    mutating func byte() throws(SystemdError) -> UInt8 {
        guard position < bytes.count else { throw .malformed }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func number() throws(SystemdError) -> UInt32 {
        align(to: 4)
        var value: UInt32 = 0
        for shift in stride(from: 0, to: 32, by: 8) { value |= UInt32(try byte()) << shift }
        return value
    }

    /// The first member of a structure.
    mutating func numberOfStructure() throws(SystemdError) -> UInt32 {
        align(to: 8)
        return try number()
    }

    mutating func longNumber() throws(SystemdError) -> UInt64 {
        align(to: 8)
        let low = UInt64(try number())
        return low | UInt64(try number()) << 32
    }

    mutating func string() throws(SystemdError) -> String { try text(Int(try number())) }

    mutating func strings() throws(SystemdError) -> [String] {
        let length = Int(try number())
        let end = position + length
        var found: [String] = []
        while position < end { found.append(try string()) }
        return found
    }

    mutating func signature() throws(SystemdError) -> String { try text(Int(try byte())) }

    /// With the zero after it.
    private mutating func text(_ length: Int) throws(SystemdError) -> String {
        guard length < bytes.count, position + length < bytes.count else { throw .malformed }
        defer { position += length + 1 }
        return String(decoding: bytes[position..<position + length], as: UTF8.self)
    }
}
