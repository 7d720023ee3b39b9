import ChaosModel

/// One thing that was looked at, and what was found.
struct Check {
    enum State: String {
        case ok
        /// Something to know, that need not keep anything from working.
        case warning
        case missing
    }

    let name: String
    let state: State
    let why: String
    let remedy: String?

    init(_ name: String, _ state: State, _ why: String = "", remedy: String? = nil) {
        self.name = name
        self.state = state
        self.why = why
        self.remedy = remedy
    }

    var json: JSON {
        .object([
            ("check", .string(name)),
            ("state", .string(state.rawValue)),
            ("why", why.isEmpty ? nil : .string(why)),
            ("remedy", remedy.map(JSON.string)),
        ])
    }
}
