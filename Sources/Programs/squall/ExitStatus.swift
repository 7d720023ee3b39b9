/// What the program tells its caller by its exit code. The numbers are part of its interface.
enum ExitStatus: Int32, CaseIterable {
    case success = 0
    case notAsAsked = 1
    case invalid = 2
    case unauthorized = 3
    case unreachable = 4
    case conflict = 5
    case unavailable = 6
    case notCarriedOut = 7
    /// As squalld has it, which does the work of `recover`.
    case unfinished = 75
    /// 128 and the number of SIGINT, as shells have it.
    case interrupted = 130

    /// The code for a request that the agent answered with this HTTP status.
    init(httpStatus: Int) {
        switch httpStatus {
        case 200..<300: self = .success
        case 401, 403: self = .unauthorized
        case 404, 409, 410: self = .conflict
        case 429, 503: self = .unavailable
        case 400..<500: self = .invalid
        default: self = .notAsAsked
        }
    }

    var meaning: String {
        switch self {
        case .success: "done as asked"
        case .notAsAsked: "not as asked: the session, or what doctor found; or an internal failure"
        case .invalid: "the command line, a file that it names, or the request is wrong"
        case .unauthorized: "the agent does not allow it: key, tenant or target"
        case .unreachable: "the agent cannot be reached"
        case .conflict: "no such session or target, or no longer, or the request was used before"
        case .unavailable: "the agent cannot do it now; try again"
        case .notCarriedOut: "of experiment run alone: a step failed, so that the experiment was not carried out"
        case .unfinished: "of recover alone: something could not be undone now, or an agent runs"
        case .interrupted: "interrupted by SIGINT or SIGTERM"
        }
    }
}
