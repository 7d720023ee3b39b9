/// An operator's word that no session shall live on this node until he takes it back.
package struct Halt: Hashable, Sendable {
    /// Seconds since 1970.
    package let since: Int64
    /// Why, for people.
    package let reason: String?

    package init(since: Int64, reason: String?) {
        self.since = since
        self.reason = reason
    }

    package var json: JSON { .object([("since", .integer(since)), ("reason", reason.map(JSON.string))]) }

    /// Reads what `json` wrote; nil for anything else.
    package init?(_ json: JSON) {
        guard let since = json["since"]?.integerValue else { return nil }
        self.init(since: since, reason: json["reason"]?.stringValue)
    }
}
