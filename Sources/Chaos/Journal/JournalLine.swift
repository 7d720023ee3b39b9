import ChaosModel

/// How entries lie in the file: one line each, `CRC JSON`, where CRC is the CRC-32C of the JSON's bytes in eight
/// hexadecimal digits. The JSON holds no line feed, so a damaged line never hides the next one.
enum JournalLine {
    /// The first line of every journal.
    static let header = encode(["format": "squall-journal", "version": 1])

    static func encode(_ json: JSON) -> [UInt8] {
        let body = json.bytes
        return hexadecimal(crc32c(body)) + [0x20] + body + [0x0A]
    }

    /// The JSON of a line without its line feed; nil when it is not what was once written.
    static func decode(_ line: ArraySlice<UInt8>) -> JSON? {
        guard line.count > 9, line[line.startIndex + 8] == 0x20 else { return nil }
        let body = line.dropFirst(9)
        guard Array(line.prefix(8)) == hexadecimal(crc32c(body)) else { return nil }
        return try? JSON(parsing: body)
    }

    private static func hexadecimal(_ value: UInt32) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return (0..<8).map { digits[Int(value >> UInt32(28 - 4 * $0)) & 0xF] }
    }
}

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), as storage systems use it.
func crc32c(_ bytes: some Sequence<UInt8>) -> UInt32 {
    var value: UInt32 = .max
    for byte in bytes { value = value >> 8 ^ crc32cTable[Int(UInt8(truncatingIfNeeded: value) ^ byte)] }
    return ~value
}

private let crc32cTable: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
}
