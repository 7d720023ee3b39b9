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
        [Self.programName, session, "\(deadline)"] + task.arguments
    }

    /// Reads what `arguments` wrote; nil for anything else.
    package init?(arguments: [String]) {
        guard arguments.count >= 4, arguments[0] == Self.programName, !arguments[1].isEmpty,
            let deadline = Int64(arguments[2]),
            let task = WorkerTask(arguments: arguments[3...])
        else { return nil }
        self.init(session: arguments[1], deadline: deadline, task: task)
    }
}
