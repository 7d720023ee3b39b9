/// What a worker is to do.
package enum WorkerTask: Hashable, Sendable {
    /// Keeps so many threads busy, each for so many percent (1 to 100) of one CPU.
    case cpu(load: Double, threads: Int)
}

/// All that a worker is told, as the arguments of its program: so the process shows what it is, and a new engine
/// recognises it by reading `/proc/PID/cmdline`.
package struct WorkerOrder: Hashable, Sendable {
    package static let programName = "squall-worker"

    package let session: String
    /// Nanoseconds of `CLOCK_BOOTTIME` at which the worker ends by itself.
    package let deadline: Int64
    package let task: WorkerTask

    package init(session: String, deadline: Int64, task: WorkerTask) {
        self.session = session
        self.deadline = deadline
        self.task = task
    }

    /// The program's arguments, its own name first.
    package var arguments: [String] {
        switch task {
        case .cpu(let load, let threads):
            [Self.programName, session, "\(deadline)", "cpu", "\(load)", "\(threads)"]
        }
    }

    /// Reads what `arguments` wrote; nil for anything else.
    package init?(arguments: [String]) {
        guard arguments.count >= 4, arguments[0] == Self.programName, !arguments[1].isEmpty,
            let deadline = Int64(arguments[2]),
            let task = WorkerTask(kind: arguments[3], parameters: arguments[4...])
        else { return nil }
        self.init(session: arguments[1], deadline: deadline, task: task)
    }
}

extension WorkerTask {
    fileprivate init?(kind: String, parameters: ArraySlice<String>) {
        switch kind {
        case "cpu":
            guard parameters.count == 2, let load = Double(parameters[parameters.startIndex]),
                let threads = Int(parameters[parameters.startIndex + 1]),
                (1...100).contains(load), (1...4096).contains(threads)
            else { return nil }
            self = .cpu(load: load, threads: threads)
        default:
            return nil
        }
    }
}
