package import ChaosModel

/// One line of a journal below its header, as it was found.
package struct JournalRecord: Sendable {
    package enum Content: Sendable {
        case entry(JournalEntry)
        /// Whole, but no entry that this version knows.
        case unknown
        /// Not what was once written.
        case damaged
    }

    /// Its number in the file; the header is line 1.
    package let line: Int
    /// The line as it was written; nil for a damaged one.
    package let json: JSON?
    package let content: Content

    /// When it was written, in seconds since 1970 by a clock that anybody may set; nil when nothing says so.
    package var wall: Int64? { json?["wall"]?.integerValue }

    init(line: Int, bytes: ArraySlice<UInt8>) {
        self.line = line
        json = JournalLine.decode(bytes)
        guard let json else {
            content = .damaged
            return
        }
        content = json["body"].flatMap(JournalEntry.init).map(Content.entry) ?? .unknown
    }
}
