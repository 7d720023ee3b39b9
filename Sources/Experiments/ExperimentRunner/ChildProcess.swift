internal import CLinux
import ExperimentModel
import Glibc
import LinuxSystem

/// A program of the user's: its output is bounded, and so is its time.
struct ChildProcess {
    private static let longestComplaint = 4096

    let command: [String]
    /// Added to this process's own.
    let environment: [(name: String, value: String)]

    struct Outcome {
        let output: String
        /// The last of what it wrote to standard error.
        let complaint: String
        /// Nil for one that was ended by a signal.
        let exitCode: Int32?
        let signal: Int32?
    }

    /// Runs it in a process group of its own, which is killed when it has not ended in time, or the experiment stops.
    ///
    /// The corresponding calls are `posix_spawnp(3)` and `waitpid(2)`.
    func run(within limit: Duration, stop: StopSignal) throws(StepFailure) -> Outcome {
        let deadline = BootInstant.now + limit
        let (process, output, complaint) = try start()
        defer { for descriptor in [output, complaint] { close(descriptor) } }
        var texts: [[UInt8]] = [[], []]
        var isOpen = [true, true]
        var status: Int32 = 0
        var hasEnded = false
        var refusal: StepFailure?
        // What it has left behind may hold its output open: that is not waited for.
        var lastLook = deadline
        while true {
            Self.read([output, complaint], into: &texts, &isOpen)
            if texts[1].count > Self.longestComplaint { texts[1].removeFirst(texts[1].count - Self.longestComplaint) }
            if !hasEnded, waitpid(process, &status, WNOHANG) == process {
                hasEnded = true
                lastLook = min(deadline, .now + .milliseconds(100))
            }
            if hasEnded, !isOpen.contains(true) || BootInstant.now >= lastLook { break }
            if hasEnded { continue }
            if texts[0].count > Script.longestOutput {
                refusal = StepFailure("its output is longer than \(Script.longestOutput) bytes")
            } else if BootInstant.now >= deadline {
                refusal = StepFailure("it had not ended after \(limit)")
            } else if stop.reason != nil {
                refusal = StepFailure("the experiment stops")
            }
            if refusal != nil {
                kill(-process, SIGKILL)
                while waitpid(process, &status, 0) < 0, errno == EINTR {}
                break
            }
        }
        // Whatever else it started.
        kill(-process, SIGKILL)
        if let refusal { throw refusal }
        guard let text = String(validating: texts[0], as: UTF8.self) else { throw StepFailure("its output is no text") }
        let signal = status & 0x7F
        return Outcome(
            output: text, complaint: String(decoding: texts[1], as: UTF8.self),
            exitCode: signal == 0 ? (status >> 8) & 0xFF : nil, signal: signal == 0 ? nil : signal)
    }

    private func start() throws(StepFailure) -> (pid_t, Int32, Int32) {
        let arguments = command.map { strdup($0) } + [nil]
        let variables = Self.environment(with: environment).map { strdup($0) } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var process: pid_t = 0
        var (output, complaint): (Int32, Int32) = (-1, -1)
        guard clinux_start_program(arguments, variables, &output, &complaint, &process) == 0 else {
            throw StepFailure("\(command[0]) cannot be started: \(Errno.current)")
        }
        return (process, output, complaint)
    }

    private static func environment(with added: [(name: String, value: String)]) -> [String] {
        var all: [String] = []
        var next = environ
        while let text = next.pointee {
            let line = String(cString: text)
            if !added.contains(where: { line.hasPrefix("\($0.name)=") }) { all.append(line) }
            next = next.advanced(by: 1)
        }
        return all + added.map { "\($0.name)=\($0.value)" }
    }

    /// What is there, or comes within a moment.
    private static func read(_ descriptors: [Int32], into texts: inout [[UInt8]], _ isOpen: inout [Bool]) {
        var waits = zip(descriptors, isOpen).map { pollfd(fd: $1 ? $0 : -1, events: Int16(POLLIN), revents: 0) }
        guard poll(&waits, 2, 20) > 0 else { return }
        var buffer = [UInt8](repeating: 0, count: 16384)
        for index in 0..<2 where waits[index].revents != 0 {
            let count = Glibc.read(descriptors[index], &buffer, buffer.count)
            if count > 0 { texts[index] += buffer[..<count] } else { isOpen[index] = false }
        }
    }
}
