import Glibc

/// Small files of the kernel (`/proc`, `/sys`), read and written whole.
package enum TextFile {
    /// - Throws: The error of `open(2)` or `read(2)`, with the path; `EFBIG` for more than is allowed.
    package static func read(_ path: String, atMost most: Int = .max) throws(SystemCallError) -> String {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        return String(decoding: try file.readToEnd(subject: path, atMost: most), as: UTF8.self)
    }

    package static func read(_ name: String, in directory: borrowing OwnedDescriptor) throws(SystemCallError) -> String
    {
        let file = try directory.openEntry(name, O_RDONLY)
        return String(decoding: try file.readToEnd(subject: name), as: UTF8.self)
    }

    /// One `write(2)`, as the kernel's interface files want it; the error names the data.
    package static func write(
        _ text: String, to name: String, in directory: borrowing OwnedDescriptor
    ) throws(SystemCallError) {
        let file = try directory.openEntry(name, O_WRONLY)
        try writeOnce(text, to: file.rawValue, subject: name)
    }

    package static func write(_ text: String, to path: String) throws(SystemCallError) {
        let file = try OwnedDescriptor.open(path, O_WRONLY)
        try writeOnce(text, to: file.rawValue, subject: path)
    }

    private static func writeOnce(_ text: String, to raw: Int32, subject: String) throws(SystemCallError) {
        var text = text
        try systemCall("write", on: "\(text.debugDescription) to \(subject)") {
            text.withUTF8 { Glibc.write(raw, $0.baseAddress, $0.count) }
        }
    }

    /// The names in a directory, without `.` and `..`, sorted.
    ///
    /// The corresponding calls are `opendir(3)` and `readdir(3)`.
    package static func names(in path: String) throws(SystemCallError) -> [String] {
        guard let directory = opendir(path) else {
            throw SystemCallError("opendir", on: path, errno: .current)
        }
        return try names(in: directory, subject: path)
    }

    /// The same of a directory that is open.
    ///
    /// The corresponding calls are `fdopendir(3)` and `readdir(3)`.
    package static func names(
        in descriptor: consuming OwnedDescriptor, subject: String
    ) throws(SystemCallError) -> [String] {
        let raw = descriptor.release()
        guard let directory = fdopendir(raw) else {
            let errno = Errno.current
            close(raw)
            throw SystemCallError("fdopendir", on: subject, errno: errno)
        }
        return try names(in: directory, subject: subject)
    }

    /// Closes the directory.
    private static func names(in directory: OpaquePointer, subject: String) throws(SystemCallError) -> [String] {
        defer { closedir(directory) }
        var names: [String] = []
        while true {
            Glibc.errno = 0
            guard let entry = readdir(directory) else { break }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        if Glibc.errno != 0 { throw SystemCallError("readdir", on: subject, errno: .current) }
        return names.sorted()
    }

    /// Where a symbolic link points.
    ///
    /// The corresponding system call is `readlink(2)`.
    package static func destination(ofLink path: String) throws(SystemCallError) -> String {
        let capacity = 4096
        var buffer = [CChar](repeating: 0, count: capacity)
        let count = try systemCall("readlink", on: path) { readlink(path, &buffer, capacity) }
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
