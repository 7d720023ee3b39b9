import Glibc
package import LinuxSystem

/// Files that an operator writes and the agent looks at again while it runs.
package enum ConfigurationFile {
    /// A whole file.
    ///
    /// - Throws: The error of `open(2)` or `read(2)`; `EINVAL` for what is no regular file, `EFBIG` for one that is longer.
    package static func read(_ path: String, atMost maximumLength: Int) throws(SystemCallError) -> [UInt8] {
        // Of a FIFO, opening would otherwise wait for somebody to write.
        let file = try OwnedDescriptor.open(path, O_RDONLY | O_NONBLOCK)
        guard try file.status(subject: path).st_mode & S_IFMT == S_IFREG else {
            throw SystemCallError("read", on: path, errno: .invalidArgument)
        }
        // The file may grow while it is read: the length is bounded here, not by `fstat`.
        return try file.readToEnd(subject: path, atMost: maximumLength)
    }
}

/// What changes when a file is written or replaced, also behind a symbolic link.
package struct FileStamp: Hashable, Sendable {
    let name: String
    private let device: UInt64
    private let inode: UInt64
    private let size: Int
    /// The bytes of each `timespec`: compared, never read.
    private let modified: [UInt8]
    private let changed: [UInt8]

    /// The corresponding system call is `stat(2)`.
    init(of name: String, in directory: String) throws(SystemCallError) {
        try self.init(name, at: "\(directory)/\(name)")
    }

    /// The corresponding system call is `stat(2)`.
    package init(of path: String) throws(SystemCallError) {
        try self.init(path, at: path)
    }

    private init(_ name: String, at path: String) throws(SystemCallError) {
        var status = stat()
        try systemCall("stat", on: path) { stat(path, &status) }
        self.name = name
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int(status.st_size)
        modified = withUnsafeBytes(of: status.st_mtim) { Array($0) }
        changed = withUnsafeBytes(of: status.st_ctim) { Array($0) }
    }
}
