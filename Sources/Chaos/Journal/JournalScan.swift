package import Authorization
import ChaosModel

/// What a journal says about the moment the agent last stopped.
package struct JournalScan: Sendable {
    /// Sessions that were opened and not ended, in the order in which they were opened.
    package private(set) var live: [OpenedSession] = []
    /// Tokens that were taken, opened sessions' included.
    package private(set) var tokens: [TakenToken] = []
    /// The latest wall time that the journal knows, in seconds.
    package private(set) var highWater: Int64 = 0
    /// Lines that were complete and yet not what was once written, by number from 1.
    package private(set) var damagedLines: [Int] = []
    /// Bytes after the last line feed: a write that was cut short, never acknowledged.
    package private(set) var tornBytes = 0

    package init() {}

    /// - Throws: `JournalError.unknownFormat` for a whole first line that is not of this version: it is never guessed at.
    init(of bytes: [UInt8]) throws(JournalError) {
        var number = 0
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: 0x0A) {
            number += 1
            try read(bytes[start..<end], number: number)
            start = end + 1
        }
        tornBytes = bytes.count - start
    }

    private mutating func read(_ line: ArraySlice<UInt8>, number: Int) throws(JournalError) {
        guard let json = JournalLine.decode(line) else {
            damagedLines.append(number)
            return
        }
        if number == 1 {
            guard json["format"]?.stringValue == "squall-journal", json["version"]?.integerValue == 1 else {
                throw .unknownFormat(json.text)
            }
            return
        }
        highWater = max(highWater, json["wall"]?.integerValue ?? 0)
        guard let entry = json["body"].flatMap(JournalEntry.init) else {
            damagedLines.append(number)
            return
        }
        switch entry {
        case .opened(let session):
            live.append(session)
            tokens.append(session.token)
        case .ended(let id, _):
            live.removeAll { $0.id == id }
        case .clockSeen:
            break
        case .tokenTaken(let token):
            tokens.append(token)
        }
    }
}
