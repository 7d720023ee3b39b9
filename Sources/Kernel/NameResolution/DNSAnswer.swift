/// What a name server answered. It is hostile input: whoever can reach the socket may have sent it, and a server says
/// whatever its operator, or its tenant, likes.
package enum DNSAnswer: Hashable, Sendable {
    /// Each of 4 or 16 bytes; none where the name has none of this kind.
    case addresses([[UInt8]])
    case noSuchName
    /// The server's own words (RCODE), as 2 for a failure and 5 for a refusal.
    case failed(code: UInt8)
    /// There were more addresses than fit, and none came.
    case truncated

    /// How many records are looked at, and how long a chain of aliases is followed.
    private static let mostRecords = 256
    private static let mostAliases = 16

    /// Reads an answer to the question. Nil for anything else, which is to be ignored.
    package init?(_ message: [UInt8], to question: DNSQuestion) {
        var reader = Reader(message)
        guard message.count <= DNSQuestion.longestAnswer, let id = reader.word(), id == question.id,
            let flags = reader.word(), flags & 0xF800 == 0x8000, let questions = reader.word(), questions == 1,
            let answers = reader.word(), reader.skip(4),
            reader.name() == question.name, reader.word() == question.type.rawValue,
            reader.word() == DNSName.internet
        else { return nil }
        let (isTruncated, code) = (flags & 0x0200 != 0, UInt8(flags & 0x000F))
        switch code {
        case 0: break
        case 3:
            self = .noSuchName
            return
        default:
            self = .failed(code: code)
            return
        }
        var aliases: [DNSName: DNSName] = [:]
        var addresses: [DNSName: [[UInt8]]] = [:]
        for _ in 0..<min(Int(answers), Self.mostRecords) {
            guard let owner = reader.name(), let type = reader.word(), let kind = reader.word(), reader.skip(4),
                let length = reader.word(), let data = reader.bytes(Int(length))
            else {
                // What is cut off is not to be believed, but for what came before it.
                if isTruncated { break }
                return nil
            }
            guard kind == DNSName.internet else { continue }
            if type == Self.alias {
                var index = data.lowerBound
                guard let target = DNSName(in: message, at: &index), index == data.upperBound else { return nil }
                aliases[owner] = target
            } else if type == question.type.rawValue {
                guard data.count == question.type.addressLength else { return nil }
                addresses[owner, default: []].append(Array(message[data]))
            }
        }
        var owner = question.name
        for _ in 0..<Self.mostAliases {
            guard let next = aliases[owner] else { break }
            owner = next
        }
        let found = addresses[owner] ?? []
        self = found.isEmpty && isTruncated ? .truncated : .addresses(found)
    }

    /// CNAME.
    private static let alias: UInt16 = 5
}

/// Reads a message from its beginning; nil or false at what is not there.
private struct Reader {
    private let message: [UInt8]
    private var index = 0

    init(_ message: [UInt8]) { self.message = message }

    mutating func word() -> UInt16? {
        bytes(2).map { UInt16(message[$0.lowerBound]) << 8 | UInt16(message[$0.lowerBound + 1]) }
    }

    mutating func name() -> DNSName? { DNSName(in: message, at: &index) }

    mutating func skip(_ count: Int) -> Bool { bytes(count) != nil }

    mutating func bytes(_ count: Int) -> Range<Int>? {
        guard index + count <= message.count else { return nil }
        defer { index += count }
        return index..<index + count
    }
}
