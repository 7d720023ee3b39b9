import Glibc

/// The streams that whoever started this process reads.
package enum StandardStream: Int32, Sendable {
    case output = 1
    case error = 2

    /// Writes a line in one call, so that lines of several processes do not mix. A stream that nobody reads any more
    /// is no reason to fail.
    ///
    /// The corresponding system call is `write(2)`.
    package func writeLine(_ text: String) {
        var line = text + "\n"
        _ = line.withUTF8 { write(rawValue, $0.baseAddress, $0.count) }
    }
}
