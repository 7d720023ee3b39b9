import NameResolution
import Testing

/// Writes messages as a server does.
private struct Answer {
    var bytes: [UInt8] = []

    init(to question: DNSQuestion, flags: UInt16 = 0x8180, records: UInt16) {
        // The question's own bytes, without the pseudo record behind them.
        let asked = question.message.dropFirst(12).dropLast(11)
        words(question.id, flags, 1, records, 0, 0)
        bytes += asked
    }

    mutating func words(_ words: UInt16...) {
        for word in words { bytes += [UInt8(word >> 8), UInt8(word & 0xFF)] }
    }

    /// Its owner is the question's name, unless told: 0xC00C leads there.
    mutating func record(_ owner: [UInt8] = [0xC0, 0x0C], type: UInt16, _ data: [UInt8]) {
        bytes += owner
        words(type, 1, 0, 60, UInt16(data.count))
        bytes += data
    }
}

struct DNSTests {
    private static let name = ["db.shop"].compactMap(DNSName.init)[0]
    private static let question = DNSQuestion(id: 0x1234, name: name, type: .a)
    private static let aliased: [UInt8] = [3] + Array("web".utf8) + [0]

    @Test func `a question is what the standard says`() {
        let expected: [UInt8] =
            [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2] + Array("db".utf8) + [4] + Array("shop".utf8)
            + [0, 0, 1, 0, 1] + [0, 0, 41, 5, 120, 0, 0, 0, 0, 0, 0]
        #expect(Self.question.message == expected)
    }

    @Test(arguments: ["", ".", "a..b", ".a", String(repeating: "a", count: 64), String(repeating: "ab.", count: 90)])
    func `what is no name is refused`(text: String) {
        #expect(DNSName(text) == nil)
    }

    @Test func `addresses are read, of the name that was asked for`() {
        var answer = Answer(to: Self.question, records: 3)
        answer.record(type: 1, [10, 1, 2, 3])
        answer.record(Self.aliased, type: 1, [10, 9, 9, 9])
        answer.record(type: 1, [10, 1, 2, 4])
        #expect(DNSAnswer(answer.bytes, to: Self.question) == .addresses([[10, 1, 2, 3], [10, 1, 2, 4]]))
    }

    @Test func `aliases are followed, in whatever order they come`() {
        var answer = Answer(to: Self.question, records: 3)
        answer.record(Self.aliased, type: 1, [10, 1, 2, 3])
        answer.record([2] + Array("db".utf8) + [0], type: 5, Self.aliased)
        answer.record(type: 5, [2] + Array("DB".utf8) + [0])
        #expect(DNSAnswer(answer.bytes, to: Self.question) == .addresses([[10, 1, 2, 3]]))
    }

    @Test func `an alias that leads to itself leads nowhere`() {
        var answer = Answer(to: Self.question, records: 1)
        answer.record(type: 5, [0xC0, 0x0C])
        #expect(DNSAnswer(answer.bytes, to: Self.question) == .addresses([]))
    }

    @Test(
        arguments: [(0x8183, .noSuchName), (0x8182, .failed(code: 2)), (0x8380, .truncated)] as [(UInt16, DNSAnswer)])
    func `a server's refusal is told`(flags: UInt16, expected: DNSAnswer) {
        #expect(DNSAnswer(Answer(to: Self.question, flags: flags, records: 0).bytes, to: Self.question) == expected)
    }

    @Test func `of an answer that was cut off the part that came counts`() {
        var answer = Answer(to: Self.question, flags: 0x8380, records: 2)
        answer.record(type: 1, [10, 1, 2, 3])
        answer.bytes += [0xC0, 0x0C, 0, 1]
        #expect(DNSAnswer(answer.bytes, to: Self.question) == .addresses([[10, 1, 2, 3]]))
    }

    @Test func `what answers another question is no answer`() throws {
        var answer = Answer(to: Self.question, records: 1)
        answer.record(type: 1, [10, 1, 2, 3])
        let others = [
            DNSQuestion(id: 0x1235, name: Self.name, type: .a), DNSQuestion(id: 0x1234, name: Self.name, type: .aaaa),
            DNSQuestion(id: 0x1234, name: try #require(DNSName("db.shop.svc")), type: .a),
        ]
        for other in others { #expect(DNSAnswer(answer.bytes, to: other) == nil) }
        // Nor is the question itself.
        #expect(DNSAnswer(Self.question.message, to: Self.question) == nil)
    }

    @Test(
        arguments: [
            // A name that goes on at itself, behind itself, beyond the end, and one with a length of no label.
            [0xC0, 25], [0xC0, 40], [0xFF, 0xFF], [0x80, 0],
        ] as [[UInt8]])
    func `names that lead astray are refused`(owner: [UInt8]) {
        var answer = Answer(to: Self.question, records: 1)
        #expect(answer.bytes.count == 25)
        answer.record(owner, type: 1, [10, 1, 2, 3])
        #expect(DNSAnswer(answer.bytes, to: Self.question) == nil)
    }

    @Test(arguments: [[], [10, 1, 2], [10, 1, 2, 3, 4]] as [[UInt8]])
    func `an address of another length is refused`(data: [UInt8]) {
        var answer = Answer(to: Self.question, records: 1)
        answer.record(type: 1, data)
        #expect(DNSAnswer(answer.bytes, to: Self.question) == nil)
    }

    /// The seed is told with a failure.
    @Test func `whatever is done to an answer, addresses have four bytes and nothing hangs`() {
        var answer = Answer(to: Self.question, records: 4)
        answer.record(type: 5, Self.aliased)
        answer.record(Self.aliased, type: 5, [0xC0, 0x0C])
        answer.record([0xC0, 0x0F], type: 1, [10, 1, 2, 3])
        answer.record(type: 1, [10, 1, 2, 4])
        var read = 0
        for _ in 0..<200_000 {
            var bytes = answer.bytes
            for _ in 0..<Int.random(in: 1...6) {
                // What tells whose answer it is stays, or nothing else would ever be read.
                bytes[.random(in: 6..<bytes.count)] = .random(in: 0...255)
            }
            bytes.removeLast(.random(in: 0...3))
            guard case .addresses(let addresses) = DNSAnswer(bytes, to: Self.question) else { continue }
            read += 1
            if !addresses.allSatisfy({ $0.count == 4 }) { Issue.record("\(bytes)") }
        }
        #expect(read > 1000)
    }
}
