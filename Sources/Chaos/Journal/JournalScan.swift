package import Authorization
package import ChaosModel

/// What a journal says about the moment the agent last stopped.
package struct JournalScan: Sendable {
    /// Sessions that were opened and not ended, in the order in which they were opened.
    package private(set) var live: [OpenedSession] = []
    /// Sessions that are over and still remembered, in the order in which they ended.
    package private(set) var past: [PastSession] = []
    /// Tokens that were taken, opened sessions' included.
    package private(set) var tokens: [TakenToken] = []
    /// Whether the node was halted, and not resumed.
    package private(set) var halt: Halt?
    /// The latest wall time that the journal knows, in seconds.
    package private(set) var highWater: Int64 = 0
    /// Lines that were complete and yet cannot be read, by number from 1.
    package private(set) var damagedLines: [Int] = []
    /// Bytes after the last line feed: a write that was cut short, never acknowledged.
    package private(set) var tornBytes = 0
    /// Without those.
    package private(set) var length = 0

    package init() {}

    /// - Parameter each: Called with every line below the header, in their order.
    /// - Throws: `JournalError.unknownFormat` for a whole first line that is not of this version: it is never guessed at.
    init(of bytes: [UInt8], each: (JournalRecord) -> Void = { _ in }) throws(JournalError) {
        var number = 0
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: 0x0A) {
            number += 1
            let line = bytes[start..<end]
            start = end + 1
            if number == 1 {
                try readHeader(line)
            } else {
                let record = JournalRecord(line: number, bytes: line)
                take(record)
                each(record)
            }
        }
        tornBytes = bytes.count - start
        length = start
    }

    private mutating func readHeader(_ line: ArraySlice<UInt8>) throws(JournalError) {
        guard let json = JournalLine.decode(line) else {
            damagedLines.append(1)
            return
        }
        guard json["format"]?.stringValue == "squall-journal", json["version"]?.integerValue == 1 else {
            throw .unknownFormat(json.text)
        }
    }

    private mutating func take(_ record: JournalRecord) {
        highWater = max(highWater, record.wall ?? 0)
        switch record.content {
        case .damaged, .unknown:
            damagedLines.append(record.line)
        case .entry(.opened(let session)):
            live.append(session)
            tokens.append(session.token)
        case .entry(.moved(let moved)):
            guard let index = live.firstIndex(where: { $0.id == moved.id }) else { break }
            live[index].target = moved.target
            live[index].intents = moved.intents
        case .entry(.ended(let ended)):
            guard let index = live.firstIndex(where: { $0.id == ended.id }) else { break }
            past.append(PastSession(opened: live.remove(at: index), ended: ended))
        case .entry(.halted(let halt)):
            self.halt = halt
        case .entry(.resumed):
            halt = nil
        case .entry(.clockSeen):
            break
        case .entry(.tokenTaken(let token)):
            tokens.append(token)
        }
    }
}
