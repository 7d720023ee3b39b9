/// What a worker tells the engine, one line each. The engine says nothing: that it closes the connection, as the
/// kernel does when it dies, tells the worker to end.
package enum WorkerMessage: Hashable, Sendable {
    /// It is at work.
    case ready
    /// It holds so many bytes, and takes no more: all that was asked, or what the reason says.
    case reached(bytes: Int64, shortBecause: String?)
    /// The name of this index has these addresses, as they are written: of both kinds, or of the one that was answered.
    case found(index: Int, isWhole: Bool, addresses: [String])
    /// It has none, or nobody can tell now.
    case missing(index: Int, isCertain: Bool, reason: String)
    /// It could not start or go on, and ends.
    case failed(reason: String)

    package static let longestLine = 4096

    /// With the newline that ends it.
    package var line: String {
        switch self {
        case .ready: "ready\n"
        case .reached(let bytes, nil): "reached \(bytes)\n"
        case .reached(let bytes, let reason?): "reached \(bytes) \(reason)\n"
        case .found(let index, let isWhole, let addresses):
            "\(isWhole ? "found" : "partly") \(index) \(addresses.joined(separator: ","))\n"
        case .missing(let index, let isCertain, let reason):
            "\(isCertain ? "missing" : "unknown") \(index) \(reason)\n"
        case .failed(let reason): "failed \(reason)\n"
        }
    }

    /// Reads a line without its newline; nil when it is none of these.
    package init?(line: String) {
        let words = line.split(separator: " ", maxSplits: 2).map(String.init)
        switch words.first {
        case "ready" where words.count == 1:
            self = .ready
        case "reached" where words.count >= 2:
            guard let bytes = Int64(words[1]), bytes >= 0 else { return nil }
            self = .reached(bytes: bytes, shortBecause: words.count == 3 ? words[2] : nil)
        case "found" where words.count == 3, "partly" where words.count == 3:
            guard let index = Int(words[1]) else { return nil }
            self = .found(
                index: index, isWhole: words[0] == "found", addresses: words[2].split(separator: ",").map(String.init))
        case "missing" where words.count == 3, "unknown" where words.count == 3:
            guard let index = Int(words[1]) else { return nil }
            self = .missing(index: index, isCertain: words[0] == "missing", reason: words[2])
        case "failed" where words.count >= 2:
            self = .failed(reason: words.dropFirst().joined(separator: " "))
        default:
            return nil
        }
    }
}

/// Why a worker's program ended.
package enum WorkerExitStatus: Int32, Sendable {
    case deadline = 0
    case badArguments = 2
    case engineGone = 3
    case failed = 4
}
