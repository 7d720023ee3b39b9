package import Glibc

extension OwnedDescriptor {
    /// The corresponding system call is `fstat(2)`.
    package func status(subject: @autoclosure () -> String) throws(SystemCallError) -> stat {
        var status = stat()
        let raw = rawValue
        try systemCall("fstat", on: subject()) { fstat(raw, &status) }
        return status
    }
}

/// Of what a path leads to, through symbolic links.
///
/// The corresponding system call is `stat(2)`.
package func fileStatus(at path: String) throws(SystemCallError) -> stat {
    var status = stat()
    try systemCall("stat", on: path) { stat(path, &status) }
    return status
}
