extension String {
    /// The text, or as much of its beginning as has so many bytes of UTF-8, and an ellipsis.
    package func cut(to bytes: Int) -> String {
        guard utf8.count > bytes else { return self }
        var end = utf8.index(startIndex, offsetBy: bytes)
        while end.samePosition(in: self) == nil { end = utf8.index(before: end) }
        return self[..<end] + "…"
    }
}

extension UndoOutcome {
    /// What somebody else had a hand in, as what was found, is no longer than this in reports and in the journal.
    private static let mostBytes = 1024

    package var bounded: UndoOutcome {
        switch self {
        case .restored, .alreadyRestored, .irreversible: self
        case .drifted(let found): .drifted(found: found.cut(to: Self.mostBytes))
        case .failed(let reason): .failed(reason.cut(to: Self.mostBytes))
        }
    }
}
