/// What a worker is to do.
package enum WorkerTask: Hashable, Sendable {
    /// Keeps so many threads busy, each for so many percent (1 to 100) of one CPU.
    case cpu(load: Double, threads: Int)
    /// Holds so many bytes of anonymous memory, reached evenly over the ramp.
    case memory(bytes: Int64, rampNanoseconds: Int64)
    /// Lets the file that it is given as `diskFile` grow to so many bytes, and leaves so many free on its file system:
    /// it gives back when others need them.
    case disk(bytes: Int64, reserve: Int64)

    /// The descriptor of the file to fill.
    package static let diskFile: Int32 = 3
}

extension WorkerTask {
    /// Its kind, then its parameters.
    var arguments: [String] {
        switch self {
        case .cpu(let load, let threads): ["cpu", "\(load)", "\(threads)"]
        case .memory(let bytes, let ramp): ["memory", "\(bytes)", "\(ramp)"]
        case .disk(let bytes, let reserve): ["disk", "\(bytes)", "\(reserve)"]
        }
    }

    /// Reads what `arguments` wrote; nil for anything else.
    init?(arguments: some Sequence<String>) {
        let words = Array(arguments)
        guard words.count == 3 else { return nil }
        switch words[0] {
        case "cpu":
            guard let load = Double(words[1]), let threads = Int(words[2]), (1...100).contains(load),
                (1...4096).contains(threads)
            else { return nil }
            self = .cpu(load: load, threads: threads)
        case "memory":
            guard let bytes = Int64(words[1]), let ramp = Int64(words[2]), bytes > 0, ramp >= 0 else { return nil }
            self = .memory(bytes: bytes, rampNanoseconds: ramp)
        case "disk":
            guard let bytes = Int64(words[1]), let reserve = Int64(words[2]), bytes > 0, reserve >= 0 else {
                return nil
            }
            self = .disk(bytes: bytes, reserve: reserve)
        default:
            return nil
        }
    }
}
