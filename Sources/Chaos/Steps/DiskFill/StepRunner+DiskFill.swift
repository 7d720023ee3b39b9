import ChaosModel
import Filesystems
import Glibc
import LinuxSystem
import Namespaces
import Targets
import WorkerProtocol

/// The directory in which a worker of this engine fills a file.
final class FilledDirectory {
    let directory: Directory

    init(_ directory: consuming Directory) {
        self.directory = directory
    }
}

extension WorkerKey {
    /// Of the file that it fills. Nobody else guesses it, and recovery knows it.
    var fileName: String { ".squall-\(session.text)-\(step)" }
}

extension StepRunner {
    func prepareFill(_ fill: DiskFill, on target: ResolvedTarget) throws(Problem) -> Intent {
        guard let process = target.facts.process else {
            throw Problem(
                .targetRefused, "the target is a cgroup, which has no files", field: "target",
                hint: "name a container or a process")
        }
        try refuseIfFrozen(target)
        let field = "parameters.path"
        let identity: FileIdentity
        let space: FilesystemSpace
        let place: (mount: MountEntry, path: String)?
        do throws(SystemCallError) {
            let directory = try Directory(at: fill.directory, seenBy: process.id)
            identity = directory.identity
            space = try directory.space()
            place = try directory.place(seenBy: process.id)
        } catch {
            switch error.errno.rawValue {
            case ENOENT: throw Problem(.fieldInvalid, "the target has no directory \(fill.directory)", field: field)
            case ENOTDIR: throw Problem(.fieldInvalid, "\(fill.directory) is no directory", field: field)
            case ELOOP: throw Problem(.fieldInvalid, "\(fill.directory) is a loop of symbolic links", field: field)
            default: throw Problem(.targetUnresolvable, "\(error)", field: field)
            }
        }
        guard target.isRunning else { throw Problem(.targetGone, "the target has ended", field: "target") }
        if space.isOfTheKernel || space.capacity == 0 {
            throw Problem(
                .fieldInvalid, "\(fill.directory) is on a file system that holds no files of people", field: field)
        }
        if space.isReadOnly {
            throw Problem(
                .targetRefused, "\(fill.directory) of the target is read-only", field: field,
                hint: "choose a volume that the target may write to")
        }
        let (bytes, reserve) = try Self.amount(of: fill, in: space)
        let upper = place?.mount.options.first { $0.hasPrefix("upperdir=") }?.dropFirst("upperdir=".count)
        return .fillDisk(
            FillFile(
                bytes: bytes, reserve: reserve, isVisible: fill.isVisible, directory: fill.directory, process: process,
                device: identity.device, inode: identity.inode, pathInFilesystem: place?.path,
                upperDirectory: upper.map(String.init)),
            in: target.facts.cgroup)
    }

    private static func amount(
        of fill: DiskFill, in space: FilesystemSpace
    ) throws(Problem) -> (bytes: Int64, reserve: Int64) {
        let reserve = Int64(Double(space.capacity) * fill.reserve.fraction)
        let most = max(0, space.available - reserve)
        let bytes: Int64
        let field: String
        switch fill.amount {
        case .bytes(let wanted):
            bytes = wanted.value
            field = "parameters.size"
        case .filesystem(let share):
            bytes = Int64(Double(space.capacity) * share.fraction) - space.used
            field = "parameters.percent"
            if bytes <= 0 {
                let used = (Double(space.used) / Double(space.capacity) * 1000).rounded() / 10
                throw Problem(
                    .fieldInvalid, "the file system of \(fill.directory) is \(used) % full already", field: field,
                    hint: "ask for more than that, or for a size")
            }
        }
        if bytes > most {
            throw Problem(
                .fieldInvalid,
                "\(ByteCount(bytes)) do not fit: \(ByteCount(space.available)) are free on the file system of "
                    + "\(fill.directory), of which \(ByteCount(reserve)) (\(fill.reserve)) stay free",
                field: field, hint: "at most \(most) bytes; or a smaller reserve")
        }
        return (bytes, reserve)
    }

    func fill(
        _ file: FillFile, as key: WorkerKey, on target: ResolvedTarget, until deadline: BootInstant,
        news: @escaping @Sendable (StepNews) -> Void
    ) async throws(StepError) {
        let descriptor: OwnedDescriptor
        do throws(SystemCallError) {
            descriptor = try create(file, as: key, on: target)
        } catch {
            throw StepError("\(error)")
        }
        try await startWorker(
            .disk(bytes: file.bytes, reserve: file.reserve), outOfMemoryScore: 1000, file: descriptor.rawValue,
            as: key, on: target, until: deadline, news: news)
        // From here on only the worker has the file open: with it, a file without a name is gone.
    }

    private func create(
        _ file: FillFile, as key: WorkerKey, on target: ResolvedTarget
    ) throws(SystemCallError) -> OwnedDescriptor {
        let known = FilledDirectory(try Directory(at: file.directory, seenBy: file.process.id))
        // What the target has put there meanwhile is not what was planned.
        guard known.directory.identity == FileIdentity(device: file.device, inode: file.inode), target.isRunning else {
            throw SystemCallError("open", on: file.directory, errno: Errno(rawValue: ESTALE))
        }
        filled[key] = known
        return try thread.run { () throws(SystemCallError) in
            if file.isVisible { return try known.directory.createFile(key.fileName) }
            return try known.directory.createUnnamedFile(orForAMoment: key.fileName)
        }
    }

    func unfill(_ file: FillFile, as key: WorkerKey, in cgroup: TargetFacts.Cgroup) -> UndoProgress {
        let end = endWorker(key, in: cgroup)
        guard case .done(let outcome) = end else { return end }
        if case .failed = outcome { return end }
        do throws(SystemCallError) {
            let wasThere = try removeName(of: file, as: key)
            filled[key] = nil
            return .done(wasThere ? .restored : outcome)
        } catch {
            return .done(.failed("the file \(key.fileName) in \(file.directory): \(error)"))
        }
    }

    /// False when there was no such name.
    private func removeName(of file: FillFile, as key: WorkerKey) throws(SystemCallError) -> Bool {
        if let known = filled[key] { return try known.directory.remove(key.fileName) }
        guard let directory = try find(file) else { return false }
        return try directory.remove(key.fileName)
    }

    /// The directory, after a restart: by the target while that runs, by the node's own mounts, or, for a container's
    /// own tree that is not mounted any more, where the node keeps what was written into it. Nil when it is gone.
    private func find(_ file: FillFile) throws(SystemCallError) -> Directory? {
        let identity = FileIdentity(device: file.device, inode: file.inode)
        if let facts = try Self.ifThere({ () throws(SystemCallError) in try ProcessFacts(ofProcess: file.process.id) }),
            facts.startTime == file.process.startTime,
            let directory = try Self.ifThere({ () throws(SystemCallError) in
                try Directory(at: file.directory, seenBy: file.process.id)
            }), directory.identity == identity
        {
            return directory
        }
        guard let path = file.pathInFilesystem else { return nil }
        let mounts = try MountEntry.all(seenBy: "1").filter { $0.device == file.device }
        for mount in mounts {
            let root = mount.root == "/" ? "" : mount.root
            guard path == root || path.hasPrefix(root + "/") else { continue }
            let onNode = mount.mountPoint + path.dropFirst(root.utf8.count)
            if let directory = try Self.ifThere({ () throws(SystemCallError) in try Directory(onNodeAt: onNode) }),
                directory.identity == identity
            {
                return directory
            }
        }
        // What lies under a mounted overlay is only changed through it.
        guard mounts.isEmpty, let upper = file.upperDirectory else { return nil }
        return try Self.ifThere { () throws(SystemCallError) in try Directory(onNodeAt: upper + path) }
    }

    private static func ifThere<Value: ~Copyable>(
        _ open: () throws(SystemCallError) -> Value
    ) throws(SystemCallError) -> Value? {
        do throws(SystemCallError) {
            return try open()
        } catch {
            if [ENOENT, ENOTDIR, ESRCH, ELOOP].contains(error.errno.rawValue) { return nil }
            throw error
        }
    }
}
