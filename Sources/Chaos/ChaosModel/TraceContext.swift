/// The trace that a request belongs to, as W3C's Trace Context has it in `traceparent`: version 00, 32 digits for the trace, 16 for
/// the span that asks, 2 for flags. Kept and passed on, and never acted on.
package struct TraceContext: Hashable, Sendable {
    package let text: String

    /// Nil for what the recommendation says to ignore: here it is refused.
    package init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "00", parts[1].isHexadecimal(digits: 32),
            parts[2].isHexadecimal(digits: 16), parts[3].isHexadecimal(digits: 2),
            parts[1].contains(where: { $0 != "0" }), parts[2].contains(where: { $0 != "0" })
        else { return nil }
        self.text = text
    }

    package var trace: String { String(text.dropFirst(3).prefix(32)) }
    package var span: String { String(text.dropFirst(36).prefix(16)) }
    package var json: JSON { .string(text) }
}
