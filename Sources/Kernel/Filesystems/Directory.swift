internal import CLinux
internal import Glibc
package import LinuxSystem

/// A directory held open, as itself and not as whatever has its path later.
package struct Directory: ~Copyable, Sendable {
    /// Opened with `O_PATH`.
    package let descriptor: OwnedDescriptor
    package let identity: FileIdentity
    /// For messages.
    private let path: String

    /// The directory that a process finds at an absolute path. Symbolic links are followed as the process would follow
    /// them: none leads out of its root. Hold a `ProcessHandle` first, and see afterwards that it still runs.
    ///
    /// - Throws: `ENOENT`, `ENOTDIR`, `ELOOP`; `EACCES` without the right to trace the process.
    ///
    /// The corresponding system call is `openat2(2)` with `RESOLVE_IN_ROOT`.
    package init(at path: String, seenBy process: Int32) throws(SystemCallError) {
        let root = try OwnedDescriptor.open("/proc/\(process)/root", Int32(CLINUX_O_PATH) | O_DIRECTORY)
        try self.init(at: path, in: root, resolve: CLINUX_RESOLVE_IN_ROOT | CLINUX_RESOLVE_NO_MAGICLINKS)
    }

    /// The directory at a path on the node itself, where process 1 finds it, through no symbolic link.
    package init(onNodeAt path: String) throws(SystemCallError) {
        let root = try OwnedDescriptor.open("/proc/1/root", Int32(CLINUX_O_PATH) | O_DIRECTORY)
        try self.init(at: path, in: root, resolve: CLINUX_RESOLVE_IN_ROOT | CLINUX_RESOLVE_NO_SYMLINKS)
    }

    private init(at path: String, in root: borrowing OwnedDescriptor, resolve: Int) throws(SystemCallError) {
        let raw = root.rawValue
        let opened = OwnedDescriptor(
            adopting: try systemCall("openat2", on: path) {
                clinux_openat2(raw, path, UInt64(Int32(CLINUX_O_PATH) | O_DIRECTORY | O_CLOEXEC), 0, UInt64(resolve))
            })
        identity = try FileIdentity(of: opened, subject: path)
        descriptor = opened
        self.path = path
    }

    package func space() throws(SystemCallError) -> FilesystemSpace {
        try FilesystemSpace(of: descriptor, subject: path)
    }

    /// The mount that it is in, and its path from the root of that mount's file system. Nil where the process no longer
    /// sees that mount.
    package func place(seenBy process: Int32) throws(SystemCallError) -> (mount: MountEntry, path: String)? {
        let facts = try TextFile.read("/proc/thread-self/fdinfo/\(descriptor.rawValue)")
        guard let line = facts.split(separator: "\n").first(where: { $0.hasPrefix("mnt_id:") }),
            let id = Int(line.dropFirst("mnt_id:".count).filter(\.isNumber)),
            let mount = try MountEntry.all(seenBy: "\(process)").first(where: { $0.id == id })
        else { return nil }
        // From the root of the mount namespace, which is where mount points are counted from too.
        let seen = try TextFile.destination(ofLink: "/proc/thread-self/fd/\(descriptor.rawValue)")
        let prefix = mount.mountPoint == "/" ? "" : mount.mountPoint
        guard seen.hasPrefix(prefix) else { return nil }
        let below = seen.dropFirst(prefix.utf8.count)
        return (mount, (mount.root == "/" ? "" : mount.root) + (below == "/" ? "" : below))
    }

    /// Makes a file that only who has it open can reach; the kernel frees it with the last of them. Where the file
    /// system knows no such files, it has the name for a moment.
    ///
    /// - Throws: Also the errors of `createFile`.
    ///
    /// The corresponding system call is `openat(2)` with `O_TMPFILE`.
    package func createUnnamedFile(orForAMoment name: String) throws(SystemCallError) -> OwnedDescriptor {
        do throws(SystemCallError) {
            return try asOwnerIfNeeded { () throws(SystemCallError) in
                let raw = descriptor.rawValue
                return OwnedDescriptor(
                    adopting: try systemCall("openat O_TMPFILE", on: path) { clinux_open_unnamed(raw, 0o600) })
            }
        } catch let error where [EOPNOTSUPP, EISDIR, ENOENT].contains(error.errno.rawValue) {
            let file = try createFile(name)
            _ = try remove(name)
            return file
        }
    }

    /// - Throws: `EEXIST` when there is an entry with this name, `EROFS`, `ENOSPC`, `EDQUOT`.
    ///
    /// The corresponding system call is `openat(2)`.
    package func createFile(_ name: String) throws(SystemCallError) -> OwnedDescriptor {
        try asOwnerIfNeeded { () throws(SystemCallError) in
            try descriptor.openEntry(name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, mode: 0o600)
        }
    }

    /// Root of the node is nobody in a file system of a user namespace, and makes no file there: then the directory's
    /// owner does. Only the calling thread becomes that user.
    ///
    /// The corresponding system calls are `setfsuid(2)` and `setfsgid(2)`.
    private func asOwnerIfNeeded(
        _ body: () throws(SystemCallError) -> OwnedDescriptor
    ) throws(SystemCallError) -> OwnedDescriptor {
        do throws(SystemCallError) {
            return try body()
        } catch let error where error.errno.rawValue == EOVERFLOW {
            var status = stat()
            let raw = descriptor.rawValue
            try systemCall("fstat", on: path) { fstat(raw, &status) }
            clinux_set_file_user(status.st_uid, status.st_gid)
            defer { clinux_set_file_user(geteuid(), getegid()) }
            return try body()
        }
    }

    /// Removes a file of this directory. False when there is none of this name.
    ///
    /// The corresponding system call is `unlinkat(2)`.
    package func remove(_ name: String) throws(SystemCallError) -> Bool {
        let raw = descriptor.rawValue
        do throws(SystemCallError) {
            try systemCall("unlinkat", on: "\(name) in \(path)") { unlinkat(raw, name, 0) }
            return true
        } catch let error where error.errno == .noEntry {
            return false
        }
    }
}

/// What names a file among those that exist now.
package struct FileIdentity: Hashable, Sendable {
    package let device: UInt64
    package let inode: UInt64

    package init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }

    init(of file: borrowing OwnedDescriptor, subject: String) throws(SystemCallError) {
        var status = stat()
        let raw = file.rawValue
        try systemCall("fstat", on: subject) { fstat(raw, &status) }
        self.init(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }
}

/// What a file that another process has open takes on its file system.
///
/// The corresponding system call is `stat(2)`.
package func allocatedBytes(ofDescriptor number: Int32, in process: Int32) throws(SystemCallError) -> Int64 {
    let path = "/proc/\(process)/fd/\(number)"
    var status = stat()
    try systemCall("stat", on: path) { stat(path, &status) }
    return Int64(status.st_blocks) * 512
}
