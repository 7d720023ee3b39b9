import Glibc

/// One line for people. There is nobody left to tell if it cannot be written.
package func printToStandardError(_ line: String) {
    let bytes = Array("squall-gateway: \(line)\n".utf8)
    _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
