/// One question to a name server, over UDP.
///
/// Messages are those of RFC 1035, with the larger packets of RFC 6891.
package struct DNSQuestion: Hashable, Sendable {
    /// By which its answer is known again.
    package let id: UInt16
    package let name: DNSName
    package let type: RecordType

    package enum RecordType: UInt16, CaseIterable, Sendable {
        /// An IPv4 address.
        case a = 1
        /// An IPv6 address.
        case aaaa = 28

        var addressLength: Int { self == .a ? 4 : 16 }
    }

    package init(id: UInt16, name: DNSName, type: RecordType) {
        self.id = id
        self.name = name
        self.type = type
    }

    /// The most that is taken of one answer: what passes everywhere without fragments (RFC 9715).
    package static let longestAnswer = 1400

    /// As it is sent: to be answered by who can ask others in turn, in packets that are larger than the standard's 512
    /// bytes.
    package var message: [UInt8] {
        let recursionDesired: UInt16 = 0x0100
        var bytes: [UInt8] = []
        for word in [id, recursionDesired, 1, 0, 0, 1] { bytes.put(word) }
        bytes += name.bytes
        for word in [type.rawValue, DNSName.internet] { bytes.put(word) }
        // The pseudo record OPT: of the root, with the packet's size for its class, and nothing else.
        bytes.append(0)
        for word in [41, UInt16(Self.longestAnswer), 0, 0, 0] { bytes.put(word) }
        return bytes
    }
}

/// A name as messages have it: labels of up to 63 bytes, each after its length, and an empty one at the end.
package struct DNSName: Hashable, Sendable {
    /// In lower case: names that differ only in that are the same.
    let bytes: [UInt8]

    static let internet: UInt16 = 1
    private static let most = 255

    /// Reads `db.shop` and `db.shop.`, which are the same here. Nil for what is no name.
    package init?(_ text: String) {
        var bytes: [UInt8] = []
        let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        for (index, label) in labels.enumerated() {
            if label.isEmpty, index == labels.count - 1, index > 0 { break }
            guard (1...63).contains(label.count) else { return nil }
            bytes.append(UInt8(label.count))
            bytes += label
        }
        self.init(labels: bytes + [0])
    }

    private init?(labels bytes: [UInt8]) {
        guard bytes.count <= Self.most else { return nil }
        self.bytes = bytes.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
    }

    /// Whether hosts have such names: nothing but letters, digits, hyphens and underscores.
    var isOfLetters: Bool {
        var rest = bytes[...]
        while let length = rest.popFirst(), length > 0 {
            let isLabel = rest.prefix(Int(length)).allSatisfy {
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D || $0 == 0x5F
            }
            if !isLabel { return false }
            rest = rest.dropFirst(Int(length))
        }
        return true
    }

    /// Reads a name in a message, which may go on at an earlier place in it; leaves the index behind it. Nil for what is
    /// no name, as one that leads to itself.
    init?(in message: [UInt8], at index: inout Int) {
        var bytes: [UInt8] = []
        var place = index
        // Where it may go on lies ever further towards the beginning.
        var bound = index
        var hasJumped = false
        while true {
            guard message.indices.contains(place) else { return nil }
            let length = Int(message[place])
            switch length {
            case 0:
                if !hasJumped { index = place + 1 }
                self.init(labels: bytes + [0])
                return
            case 1...63:
                guard place + length < message.count, bytes.count + length + 2 <= Self.most else { return nil }
                bytes += message[place...place + length]
                place += length + 1
            case 0xC0...:
                guard place + 1 < message.count else { return nil }
                let target = (length & 0x3F) << 8 | Int(message[place + 1])
                guard target < bound else { return nil }
                if !hasJumped { index = place + 2 }
                (place, bound, hasJumped) = (target, target, true)
            default: return nil
            }
        }
    }
}

extension [UInt8] {
    fileprivate mutating func put(_ word: UInt16) { self += [UInt8(word >> 8), UInt8(word & 0xFF)] }
}
