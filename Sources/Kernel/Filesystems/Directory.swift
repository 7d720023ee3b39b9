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

    /// Where it is now in the file tree of the mount namespace that it was found in; of one that this process is in, from
    /// this process's root.
    ///
    /// The corresponding system call is `readlink(2)`.
    package func pathSeen() throws(SystemCallError) -> String {
        try TextFile.destination(ofLink: "/proc/thread-self/fd/\(descriptor.rawValue)")
    }

    /// The mount that it is in, and its path from the root of that mount's file system. Nil where the process does not
    /// see that mount, or sees it elsewhere than the kernel says the directory is.
    package func place(seenBy process: Int32) throws(SystemCallError) -> (mount: MountEntry, path: String)? {
        let facts = try TextFile.read("/proc/thread-self/fdinfo/\(descriptor.rawValue)")
        guard let line = facts.split(separator: "\n").first(where: { $0.hasPrefix("mnt_id:") }),
            let id = Int(line.dropFirst("mnt_id:".count).filter(\.isNumber)),
            let mount = try MountEntry.all(seenBy: "\(process)").first(where: { $0.id == id })
        else { return nil }
        guard let below = try pathSeen().below(mount.mountPoint) else { return nil }
        return (mount, (mount.root == "/" ? "" : mount.root) + below)
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
            let status = try descriptor.status(subject: path)
            clinux_set_file_user(status.st_uid, status.st_gid)
            defer { clinux_set_file_user(geteuid(), getegid()) }
            return try body()
        }
    }

    /// What is found under a name.
    package enum Entry: Hashable, Sendable {
        case file(FileIdentity)
        case somethingElse
    }

    /// Nil when there is nothing of this name. No link is followed.
    ///
    /// The corresponding system call is `fstatat(2)`.
    package func entry(_ name: String) throws(SystemCallError) -> Entry? {
        guard let status = try status(of: name) else { return nil }
        guard status.st_mode & S_IFMT == S_IFREG else { return .somethingElse }
        return .file(FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)))
    }

    /// Removes a file of this directory, as its owner where root of the node may not. False when there is none of this
    /// name.
    ///
    /// The corresponding system call is `unlinkat(2)`.
    package func remove(_ name: String) throws(SystemCallError) -> Bool {
        do throws(SystemCallError) {
            return try unlink(name)
        } catch let error where error.errno == .notPermitted || error.errno == .permissionDenied {
            // A directory with the sticky bit lets only owners remove, and it takes CAP_FOWNER to be nobody's equal.
            guard let status = try status(of: name) else { return false }
            clinux_set_file_user(status.st_uid, status.st_gid)
            defer { clinux_set_file_user(geteuid(), getegid()) }
            return try unlink(name)
        }
    }

    private func unlink(_ name: String) throws(SystemCallError) -> Bool {
        let raw = descriptor.rawValue
        do throws(SystemCallError) {
            try systemCall("unlinkat", on: "\(name) in \(path)") { unlinkat(raw, name, 0) }
            return true
        } catch let error where error.errno == .noEntry {
            return false
        }
    }

    private func status(of name: String) throws(SystemCallError) -> stat? {
        var status = stat()
        let raw = descriptor.rawValue
        do throws(SystemCallError) {
            try systemCall("fstatat", on: "\(name) in \(path)") { fstatat(raw, name, &status, AT_SYMLINK_NOFOLLOW) }
            return status
        } catch let error where error.errno == .noEntry {
            return nil
        }
    }
}

extension String {
    /// The rest of an absolute path below another one: empty for that itself, nil where it is not below.
    package func below(_ parent: String) -> String? {
        let parent = parent == "/" ? [] : Array(parent.utf8)
        let path = Array(utf8)
        guard path.starts(with: parent) else { return nil }
        let rest = path[parent.count...]
        if rest.isEmpty || rest.elementsEqual("/".utf8) { return "" }
        return rest.first == UInt8(ascii: "/") ? String(decoding: rest, as: UTF8.self) : nil
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

    package init(of file: borrowing OwnedDescriptor, subject: String) throws(SystemCallError) {
        let status = try file.status(subject: subject)
        self.init(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }
}

/// What a file that another process has open takes on its file system.
///
/// The corresponding system call is `stat(2)`.
package func allocatedBytes(ofDescriptor number: Int32, in process: Int32) throws(SystemCallError) -> Int64 {
    let status = try fileStatus(at: "/proc/\(process)/fd/\(number)")
    let (bytes, overflows) = Int64(status.st_blocks).multipliedReportingOverflow(by: 512)
    return overflows ? .max : max(0, bytes)
}

extension OwnedDescriptor {
    /// Frees what the file takes, whatever names it has, and says how many those are.
    ///
    /// The corresponding system calls are `ftruncate(2)` and `fstat(2)`.
    package func empty(subject: String) throws(SystemCallError) -> Int {
        let raw = rawValue
        try systemCall("ftruncate", on: subject) { ftruncate(raw, 0) }
        return Int(clamping: try status(subject: subject).st_nlink)
    }
}

extension OwnedDescriptor {
    /// Frees what it takes if it is a file that holds data; anything else is left alone.
    ///
    /// The corresponding system calls are `fstat(2)`, `fstatfs(2)` and `ftruncate(2)`.
    package func emptyIfFile(subject: String) throws(SystemCallError) {
        guard try status(subject: subject).st_mode & S_IFMT == S_IFREG,
            try !FilesystemSpace(of: self, subject: subject).isOfTheKernel
        else { return }
        _ = try empty(subject: subject)
    }
}
