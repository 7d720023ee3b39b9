package import ChaosModel

/// One line of a journal below its header, as it was found.
package struct JournalRecord: Sendable {
    package enum Content: Sendable {
        case entry(JournalEntry)
        /// Whole, but no entry that this version knows.
        case unknown(JSON)
        /// Not what was once written.
        case damaged
    }

    /// Its number in the file; the header is line 1.
    package let line: Int
    /// When it was written, in seconds since 1970 by a clock that anybody may set; nil when nothing says so.
    package let wall: Int64?
    package let content: Content

    init(line: Int, bytes: ArraySlice<UInt8>) {
        self.line = line
        guard let json = JournalLine.decode(bytes) else {
            wall = nil
            content = .damaged
            return
        }
        wall = json["wall"]?.integerValue
        content = json["body"].flatMap(JournalEntry.init).map(Content.entry) ?? .unknown(json)
    }
}
