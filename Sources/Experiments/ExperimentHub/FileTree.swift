import Glibc
import LinuxSystem

/// A folder's files, bounded, with nothing in it but folders and ordinary files.
struct FileTree: Sendable {
    private static let mostFiles = 200
    private static let mostBytes = 32 << 20
    private static let deepest = 8

    private struct File: Sendable {
        /// Below the folder.
        let path: String
        let mode: mode_t
        let bytes: [UInt8]
    }

    private var files: [File] = []
    private var folders: [String] = []

    /// Reads a folder whole.
    ///
    /// - Throws: For a link, a device or a pipe, and for more than there may be.
    init(of folder: String) throws(HubError) {
        try read(folder, "", depth: 0)
        let bytes = files.map(\.bytes.count).reduce(0, +)
        guard files.count <= Self.mostFiles, bytes <= Self.mostBytes else {
            throw HubError(
                "\(folder) has \(files.count) files of \(bytes) bytes: more than \(Self.mostFiles) or \(Self.mostBytes)"
            )
        }
    }

    private mutating func read(_ folder: String, _ below: String, depth: Int) throws(HubError) {
        guard depth < Self.deepest, files.count <= Self.mostFiles else {
            throw HubError("\(folder) has too many files, or folders in folders")
        }
        let names: [String]
        do throws(SystemCallError) {
            names = try TextFile.names(in: folder).sorted()
        } catch {
            throw HubError("cannot read \(folder): \(error.errno)")
        }
        // A folder of Git's own is nobody's experiment.
        for name in names where name != ".git" {
            let (path, own) = ("\(folder)/\(name)", below + name)
            var status = stat()
            guard lstat(path, &status) == 0 else { throw HubError("cannot read \(path): \(Errno.current)") }
            switch status.st_mode & S_IFMT {
            case S_IFDIR:
                folders.append(own)
                try read(path, "\(own)/", depth: depth + 1)
            case S_IFREG:
                guard status.st_size <= Self.mostBytes else { throw HubError("\(path) is too long") }
                files.append(File(path: own, mode: status.st_mode & 0o755, bytes: try Self.bytes(of: path)))
            default: throw HubError("\(path) is neither a file nor a folder")
            }
        }
    }

    private static func bytes(of path: String) throws(HubError) -> [UInt8] {
        do throws(SystemCallError) {
            let file = try OwnedDescriptor.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
            return Array(try file.readToEnd(subject: path, atMost: mostBytes))
        } catch {
            throw HubError("cannot read \(path): \(error.errno)")
        }
    }

    /// Makes the folder, whole or not at all.
    ///
    /// - Throws: Also when there is something of that name.
    func write(to folder: String) throws(HubError) {
        let beside = "\(folder).\(getpid()).new"
        do throws(SystemCallError) {
            try systemCall("mkdir", on: beside) { mkdir(beside, 0o755) }
            for name in folders { try systemCall("mkdir", on: name) { mkdir("\(beside)/\(name)", 0o755) } }
            for file in files {
                let path = "\(beside)/\(file.path)"
                let made = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: file.mode)
                try made.writeAll(file.bytes, subject: path)
            }
            // It takes the place of an empty folder alone, and not even of that: that is seen before.
            guard access(folder, F_OK) != 0 else {
                throw SystemCallError("rename", on: folder, errno: Errno(rawValue: EEXIST))
            }
            try systemCall("rename", on: folder) { rename(beside, folder) }
        } catch {
            discard(beside)
            throw HubError("cannot make \(folder): \(error.errno)")
        }
    }

    private func discard(_ folder: String) {
        for file in files { unlink("\(folder)/\(file.path)") }
        for name in folders.reversed() { rmdir("\(folder)/\(name)") }
        rmdir(folder)
    }
}

/// Why a catalogue cannot do something: for people, lower case, no full stop.
package struct HubError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
