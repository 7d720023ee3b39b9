/// The trace that a request belongs to, as W3C's Trace Context has it in `traceparent`: version 00, 32 digits for the trace, 16 for
/// the span that asks, 2 for flags. Kept and passed on, and never acted on.
package struct TraceContext: Hashable, Sendable {
    package let text: String

    /// Nil for what the recommendation says to ignore: here it is refused.
    package init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        func isHexadecimal(_ part: Substring, _ length: Int) -> Bool {
            part.utf8.count == length
                && part.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        }
        guard parts.count == 4, parts[0] == "00", isHexadecimal(parts[1], 32), isHexadecimal(parts[2], 16),
            isHexadecimal(parts[3], 2), parts[1].contains(where: { $0 != "0" }), parts[2].contains(where: { $0 != "0" })
        else { return nil }
        self.text = text
    }

    package var trace: String { String(text.dropFirst(3).prefix(32)) }
    package var span: String { String(text.dropFirst(36).prefix(16)) }
    package var json: JSON { .string(text) }
}
