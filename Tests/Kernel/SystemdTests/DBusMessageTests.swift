import Testing

import Systemd

struct DBusMessageTests {
    /// As `dbus-send --print-reply` of FreezeUnit is on the wire, field by field.
    @Test func `a call is as the specification has it`() {
        let bytes = DBusCall(member: "FreezeUnit", arguments: ["a.service"]).bytes(serial: 1)
        #expect(Array(bytes[..<4]) == [0x6C, 1, 0, 1])
        // The body: a length, nine bytes, a zero.
        #expect(Array(bytes[4..<8]) == [14, 0, 0, 0])
        #expect(Array(bytes.suffix(14)) == [9, 0, 0, 0] + Array("a.service".utf8) + [0])
        #expect((bytes.count - 14).isMultiple(of: 8))
        // The first field: PATH, a variant of type o, at a multiple of 8.
        #expect(Array(bytes[16..<24]) == [1, 1, 0x6F, 0, 25, 0, 0, 0])
    }

    private static let answer: [UInt8] =
        [0x6C, 2, 1, 1, 0, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0]
        // REPLY_SERIAL, u: 1.
        + [5, 1, 0x75, 0, 1, 0, 0, 0]

    private static func failure(_ words: String) -> [UInt8] {
        let name = "org.x.No"
        let body = [UInt8(words.utf8.count), 0, 0, 0] + Array(words.utf8) + [0]
        let fields: [UInt8] =
            [4, 1, 0x73, 0, UInt8(name.utf8.count), 0, 0, 0] + Array(name.utf8) + [0] + [0, 0, 0, 0, 0, 0, 0]
            + [5, 1, 0x75, 0, 1, 0, 0, 0] + [8, 1, 0x67, 0, 1, 0x73, 0]
        return [0x6C, 3, 1, 1, UInt8(body.count), 0, 0, 0, 7, 0, 0, 0, UInt8(fields.count), 0, 0, 0] + fields + [0]
            + body
    }

    @Test func `an answer is read once it is whole`() throws {
        for count in 0..<Self.answer.count {
            #expect(try DBusReply.first(in: Array(Self.answer[..<count]), atMost: 1000) == nil)
        }
        let found = try #require(try DBusReply.first(in: Self.answer + [1, 2, 3], atMost: 1000))
        #expect(found.length == Self.answer.count)
        #expect(found.reply == DBusReply(type: 2, replySerial: 1))
    }

    @Test func `an error has its name and its words`() throws {
        let bytes = Self.failure("Unit is frozen.")
        let found = try #require(try DBusReply.first(in: bytes, atMost: 1000))
        #expect(found.length == bytes.count)
        #expect(found.reply.replySerial == 1)
        #expect(found.reply.error == DBusReply.Failure(name: "org.x.No", words: "Unit is frozen."))
    }

    @Test func `a variant's text is told`() throws {
        let fields: [UInt8] = [5, 1, 0x75, 0, 7, 0, 0, 0] + [8, 1, 0x67, 0, 1, 0x76, 0]
        let body: [UInt8] = [1, 0x73, 0, 0, 6, 0, 0, 0] + Array("frozen".utf8) + [0]
        let head: [UInt8] = [0x6C, 2, 1, 1, UInt8(body.count), 0, 0, 0, 9, 0, 0, 0, UInt8(fields.count), 0, 0, 0]
        let found = try #require(try DBusReply.first(in: head + fields + [0] + body, atMost: 1000))
        #expect(found.reply == DBusReply(type: 2, replySerial: 7, text: "frozen"))
    }

    @Test func `a variant's number is told`() throws {
        let fields: [UInt8] = [5, 1, 0x75, 0, 7, 0, 0, 0] + [8, 1, 0x67, 0, 1, 0x76, 0]
        let body: [UInt8] = [1, 0x74, 0, 0, 0, 0, 0, 0] + [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]
        let head: [UInt8] = [0x6C, 2, 1, 1, UInt8(body.count), 0, 0, 0, 9, 0, 0, 0, UInt8(fields.count), 0, 0, 0]
        let found = try #require(try DBusReply.first(in: head + fields + [0] + body, atMost: 1000))
        #expect(found.reply.text == "18446744073709551615")
    }

    /// An answer whose body is a variant of this type.
    private static func variant(_ signature: String, _ value: [UInt8], alignedTo size: Int = 4) throws -> DBusReply? {
        let type = [UInt8(signature.utf8.count)] + Array(signature.utf8) + [0]
        let padding = [UInt8](repeating: 0, count: (size - type.count % size) % size)
        let body = type + padding + value
        let fields: [UInt8] = [5, 1, 0x75, 0, 7, 0, 0, 0] + [8, 1, 0x67, 0, 1, 0x76, 0]
        let head: [UInt8] = [0x6C, 2, 1, 1, UInt8(body.count), 0, 0, 0, 9, 0, 0, 0, UInt8(fields.count), 0, 0, 0]
        return try DBusReply.first(in: head + fields + [0] + body, atMost: 1000)?.reply
    }

    @Test func `a variant's list of texts is told`() throws {
        // A length, then each text with its own, at a multiple of 4.
        let value: [UInt8] =
            [21, 0, 0, 0] + [5, 0, 0, 0] + Array("a.b.c".utf8) + [0, 0, 0] + [4, 0, 0, 0] + Array("d.ef".utf8) + [0]
        #expect(try Self.variant("as", value)?.list == ["a.b.c", "d.ef"])
        #expect(try Self.variant("as", [0, 0, 0, 0])?.list == [])
        #expect(throws: SystemdError.malformed) { try Self.variant("as", [200, 0, 0, 0]) }
    }

    @Test func `booleans and the number of a job are told`() throws {
        #expect(try Self.variant("b", [1, 0, 0, 0])?.text == "yes")
        #expect(try Self.variant("b", [0, 0, 0, 0])?.text == "no")
        #expect(try Self.variant("(uo)", [7, 1, 0, 0, 1, 0, 0, 0, 0x2F, 0], alignedTo: 8)?.text == "263")
    }

    @Test func `a unit's name is a path of letters and digits`() {
        #expect(DBusCall.path(of: "3proxy.service").hasSuffix("/unit/_33proxy_2eservice"))
        #expect(DBusCall.path(of: "postgresql@17-main.service").hasSuffix("/unit/postgresql_4017_2dmain_2eservice"))
    }

    @Test func `whatever comes is read or refused`() {
        let good = Self.failure("Unit is frozen.")
        for index in good.indices {
            for value: UInt8 in [0, 1, 0x7F, 0x80, 0xFF] {
                var bytes = good
                bytes[index] = value
                do throws(SystemdError) {
                    if let found = try DBusReply.first(in: bytes, atMost: 1000) { #expect(found.length <= bytes.count) }
                } catch {
                    #expect(error == .malformed)
                }
            }
        }
        #expect(throws: SystemdError.malformed) { try DBusReply.first(in: Self.answer, atMost: 20) }
    }
}
