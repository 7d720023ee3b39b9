import ChaosModel
import Glibc
import LinuxSystem

/// Where results and remarks go, and how they look.
struct Output: Sendable {
    enum Format: String, CaseIterable {
        /// For people.
        case table
        /// The API's own documents, one on each line.
        case json
    }

    enum Colors: String, CaseIterable {
        case auto, always, never
    }

    let format: Format
    /// Whether standard output is a terminal, and so can show a line that changes.
    let isLive: Bool
    private let hasColors: Bool

    init(format: Format, colors: Colors) {
        self.format = format
        let isTerminal = isatty(STDOUT_FILENO) == 1
        isLive = isTerminal && format == .table
        hasColors =
            switch colors {
            case .always: true
            case .never: false
            case .auto:
                isTerminal && (environmentVariable("NO_COLOR") ?? "").isEmpty && environmentVariable("TERM") != "dumb"
            }
    }

    /// How many characters fit in a line.
    ///
    /// The corresponding system call is `ioctl(2)` with `TIOCGWINSZ`.
    var columns: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    func styled(_ text: String, _ style: Style?) -> String {
        guard let style, hasColors, !text.isEmpty else { return text }
        return "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m"
    }

    /// What came from elsewhere cannot move the cursor, nor set a title.
    static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
    }

    func line(_ text: String = "") throws(Failure) {
        try write(text + "\n")
    }

    func lines(_ lines: [String]) throws(Failure) {
        try write(lines.map { $0 + "\n" }.joined())
    }

    func document(_ json: JSON) throws(Failure) {
        try line(json.text)
    }

    /// Unbuffered: whoever reads a stream of events reads each when it happens.
    func write(_ text: String) throws(Failure) {
        do throws(SystemCallError) {
            try Self.write(text, to: STDOUT_FILENO)
        } catch {
            throw Failure(.notAsAsked, "cannot write to standard output: \(error.errno)")
        }
    }

    /// A remark beside the result, on standard error.
    func note(_ text: String) {
        Self.complain(["squall: \(text)"])
    }

    func failure(_ failure: Failure) {
        switch format {
        case .table: Self.complain(failure.lines)
        case .json: Self.complain([failure.document.text])
        }
    }

    /// Where standard error is closed there is nobody left to tell.
    static func complain(_ lines: [String]) {
        do throws(SystemCallError) {
            try write(lines.map { $0 + "\n" }.joined(), to: STDERR_FILENO)
        } catch {
            return
        }
    }

    /// Puts a file in the place of whatever was there: who reads it meanwhile has the old one or the new one, whole.
    static func write(_ text: String, replacing path: String) throws(SystemCallError) {
        guard isOrdinary(path) else {
            return try OwnedDescriptor.open(path, O_WRONLY).writeAll(Array(text.utf8), subject: path)
        }
        let beside = "\(path).\(getpid()).new"
        do throws(SystemCallError) {
            let file = try OwnedDescriptor.open(beside, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
            try file.writeAll(Array(text.utf8), subject: path)
            try systemCall("rename", on: path) { rename(beside, path) }
        } catch {
            unlink(beside)
            throw error
        }
    }

    /// Whether `write(_:replacing:)` could, as things are; what is there stays.
    static func checkReplacing(_ path: String) throws(SystemCallError) {
        guard isOrdinary(path) else { return _ = try OwnedDescriptor.open(path, O_WRONLY) }
        let beside = "\(path).\(getpid()).new"
        _ = try OwnedDescriptor.open(beside, O_WRONLY | O_CREAT, mode: 0o644)
        unlink(beside)
    }

    /// Not a device, a pipe, a folder or a link, whose place no file takes.
    private static func isOrdinary(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG
    }

    private static func write(_ text: String, to descriptor: Int32) throws(SystemCallError) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            rest = rest.dropFirst(
                try systemCall("write", on: "descriptor \(descriptor)") {
                    rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
                })
        }
    }
}
