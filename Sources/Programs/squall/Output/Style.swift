/// How a piece of text looks on a terminal with colours.
enum Style: String {
    case bold = "1"
    case dim = "2"
    case bad = "31"
    case good = "32"
    case warning = "33"

    /// For a session's state.
    static func ofState(_ state: String) -> Style? {
        switch state {
        case "active": .good
        case "pending", "applying", "reverting": .warning
        case "stuck": .bad
        case "ended": .dim
        default: nil
        }
    }
}
