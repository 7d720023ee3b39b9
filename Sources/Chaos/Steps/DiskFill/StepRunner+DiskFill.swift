import Cgroups
import ChaosModel
import DeadMan
import Filesystems
import Glibc
import LinuxSystem
import Targets
import WorkerProtocol

/// Where a worker of this engine fills a file.
final class FilledDirectory: Sendable {
    let directory: Directory
    /// A file with a name, open: so it can be emptied wherever the target moves it. One without a name is only open in
    /// its worker, with which it goes.
    let file: OwnedDescriptor?

    init(_ directory: consuming Directory, file: consuming OwnedDescriptor?) {
        self.directory = directory
        self.file = file
    }

    /// The directory and the file; nil for a file that goes by itself.
    var descriptors: [Int32]? {
        switch file {
        case .some(let file): [directory.descriptor.rawValue, file.rawValue]
        case .none: nil
        }
    }

    var identity: FileIdentity? {
        get throws(SystemCallError) {
            switch file {
            case .some(let file): try FileIdentity(of: file, subject: "the file")
            case .none: nil
            }
        }
    }

    /// Frees the file, and says how many names it has; nil for one that never had any.
    func emptyFile() throws(SystemCallError) -> Int? {
        switch file {
        case .some(let file): try file.empty(subject: "the file")
        case .none: nil
        }
    }
}

extension WorkerKey {
    /// Of the file that it fills. Nobody else guesses it, and recovery knows it.
    var fileName: String { ".squall-\(session.text)-\(step)" }
}

/// A directory of the target as it was found.
struct FoundDirectory: Sendable {
    let identity: FileIdentity
    let space: FilesystemSpace
    let isInMemory: Bool
    let pathInFilesystem: String?
    let upperDirectory: String?
    /// The directory of others in which it lies.
    let foreignDirectory: String?

    init(at path: String, seenBy process: Int32, beside foreign: ForeignDirectories?) throws(SystemCallError) {
        let directory = try Directory(at: path, seenBy: process)
        identity = directory.identity
        space = try directory.space()
        let place = try directory.place(seenBy: process)
        pathInFilesystem = place?.path
        let upper = place?.mount.upperDirectory
        // What a target mounts itself may name any directory of the node.
        let isOfTheNode = try MountEntry.all(seenBy: "1").contains {
            $0.device == place?.mount.device && $0.upperDirectory == upper
        }
        upperDirectory = isOfTheNode ? upper : nil
        isInMemory = try directory.isInMemory(over: upperDirectory)
        foreignDirectory = try foreign?.holding(directory, at: place)
    }
}

extension Directory {
    /// Whether what is written there is memory: on a tmpfs, or on an overlay that writes into one.
    fileprivate func isInMemory(over upperDirectory: String?) throws(SystemCallError) -> Bool {
        if try space().isInMemory { return true }
        guard let upperDirectory,
            let upper = try ifThere({ () throws(SystemCallError) in try Directory(onNodeAt: upperDirectory) })
        else { return false }
        return try upper.space().isInMemory
    }
}

extension FillFile {
    fileprivate var task: WorkerTask {
        switch load {
        case .io(let load): .io(load, bytes: bytes, reserve: reserve)
        case .cache(let load): .cache(load, bytes: bytes, reserve: reserve)
        case nil: .disk(bytes: bytes, reserve: reserve)
        }
    }
}

/// A file that was made, on its way from the thread that made it.
private final class MadeFile: Sendable {
    let descriptor: OwnedDescriptor
    let filled: FilledDirectory
    let isInMemory: Bool

    init(_ descriptor: consuming OwnedDescriptor, _ filled: FilledDirectory, isInMemory: Bool) {
        self.descriptor = descriptor
        self.filled = filled
        self.isInMemory = isInMemory
    }
}

/// Every call into a target's file tree is made `inTime`: it may be on a file system that never answers, and must not
/// keep anything else from being undone.
extension StepRunner {
    func prepareFill(_ fill: DiskFill, on target: ResolvedTarget) async throws(Problem) -> Intent {
        let process = try Self.processWithFiles(of: target)
        try refuseIfFrozen(target)
        // A container's paths end at its root, and of the whole host all is meant.
        let isBesideOthers = target.facts.container == nil && !target.facts.isHost
        let foreign = isBesideOthers ? ForeignDirectories(stateDirectory: stateDirectory) : nil
        let found: FoundDirectory
        do throws(SystemCallError) {
            found = try await inTime(on: fill.directory) { () throws(SystemCallError) in
                try FoundDirectory(at: fill.directory, seenBy: process.id, beside: foreign)
            }
        } catch {
            throw Self.refusal(of: fill.directory, error)
        }
        guard target.isRunning else { throw Problem(.targetGone, "the target has ended", field: "target") }
        if let foreign = found.foreignDirectory {
            throw Problem(
                .targetProtected,
                "\(fill.directory) lies in \(foreign), with the files of pods, of containers or of the agent",
                field: "parameters.path", hint: "name the container, and the path as it sees it")
        }
        if found.space.isInMemory, found.space.capacity == 0 {
            throw Problem(
                .fieldInvalid, "\(fill.directory) is in memory, and has no size that would bound it",
                field: "parameters.path", hint: "name a directory on a disk, or on a tmpfs with a size")
        }
        if found.space.isOfTheKernel || found.space.capacity == 0 {
            throw Problem(
                .fieldInvalid, "\(fill.directory) is on a file system that holds no files of people",
                field: "parameters.path")
        }
        if fill.load != nil, found.space.isInMemory {
            throw Problem(
                .fieldInvalid, "\(fill.directory) is in memory: there is no disk to load, nor to cache",
                field: "parameters.path", hint: "name a directory on a disk")
        }
        if found.space.isReadOnly {
            throw Problem(
                .targetRefused, "\(fill.directory) of the target is read-only", field: "parameters.path",
                hint: "choose a volume that the target may write to")
        }
        let (bytes, reserve) = try Self.amount(of: fill, in: found.space)
        if found.isInMemory { try Self.refuseToStarve(byHolding: bytes, for: fill, on: target) }
        return .fillDisk(
            FillFile(
                bytes: bytes, reserve: reserve, isVisible: fill.isVisible, load: fill.load, directory: fill.directory,
                process: process,
                device: found.identity.device, inode: found.identity.inode, pathInFilesystem: found.pathInFilesystem,
                upperDirectory: found.upperDirectory),
            in: target.facts.cgroup)
    }

    /// By whose eyes paths are followed.
    static func processWithFiles(of target: ResolvedTarget) throws(Problem) -> TargetFacts.Process {
        guard let process = target.facts.process else {
            throw Problem(
                .targetRefused, "the target is a cgroup, which has no files", field: "target",
                hint: "name a container or a process")
        }
        return process
    }

    static func refusal(of directory: String, _ error: SystemCallError) -> Problem {
        let field = "parameters.path"
        return switch error.errno.rawValue {
        case ENOENT: Problem(.fieldInvalid, "the target has no directory \(directory)", field: field)
        case ENOTDIR: Problem(.fieldInvalid, "\(directory) is no directory", field: field)
        case ELOOP: Problem(.fieldInvalid, "\(directory) is a loop of symbolic links", field: field)
        case ETIMEDOUT: Problem(.targetUnresolvable, "the file system of \(directory) does not answer", field: field)
        default: Problem(.targetUnresolvable, "\(error)", field: field)
        }
    }

    private static func amount(
        of fill: DiskFill, in space: FilesystemSpace
    ) throws(Problem) -> (bytes: Int64, reserve: Int64) {
        let reserve = Int64(Double(space.capacity) * fill.reserve.fraction)
        let most = max(0, space.available - reserve)
        let bytes: Int64
        switch fill.amount {
        case .bytes(let wanted):
            bytes = wanted.value
        case .filesystem(let share):
            bytes = Int64(Double(space.capacity) * share.fraction) - space.used
            if bytes <= 0 {
                let used = (Double(space.used) / Double(space.capacity) * 1000).rounded() / 10
                throw Problem(
                    .fieldInvalid, "the file system of \(fill.directory) is \(used) % full already",
                    field: "parameters.percent", hint: "ask for more than that, or for a size")
            }
        }
        if bytes > most {
            throw Problem(
                .fieldInvalid,
                "\(ByteCount(bytes)) do not fit: \(ByteCount(space.available)) are free on the file system of "
                    + "\(fill.directory), of which \(ByteCount(reserve)) (\(fill.reserve)) stay free",
                field: fill.amountField, hint: "at most \(most) bytes; or a smaller reserve")
        }
        return (bytes, reserve)
    }

    /// What is written into memory is held there, as what `memory-stress` takes.
    private static func refuseToStarve(
        byHolding bytes: Int64, for fill: DiskFill, on target: ResolvedTarget
    ) throws(Problem) {
        let limit: ByteCount?
        do throws(CgroupFileError) {
            limit = try target.cgroup.memoryLimit().map { ByteCount($0.bytes) }
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
        let node: NodeMemory?
        do throws(SystemCallError) {
            node = try NodeMemory.current()
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
        try node?.refuseToStarve(holding: ByteCount(bytes), below: limit, field: fill.amountField)
    }

    func fill(
        _ file: FillFile, as key: WorkerKey, on target: ResolvedTarget, until deadline: BootInstant,
        news: @escaping @Sendable (StepNews) -> Void
    ) async throws(StepError) {
        let made: MadeFile
        do throws(SystemCallError) {
            made = try await inTime(on: file.directory) { () throws(SystemCallError) in
                try Self.make(file, as: key, on: target)
            }
        } catch {
            throw StepError("\(error)" + (error.call == "fcntl O_DIRECT" ? ": ask for direct=false" : ""))
        }
        filled[key] = made.filled
        if let files = made.filled.descriptors {
            var removal = DeadMansProgram()
            removal.remove(fileNamed: key.fileName)
            removals[key] = try entrust(
                removal, tag: key.fileTag, files: files, target: target.processDescriptor,
                overdue: deadline + Self.grace)
        }
        try await startWorker(
            file.task, outOfMemoryScore: 1000, files: [made.descriptor.rawValue], as: key, on: target, until: deadline,
            news: news)
        if made.isInMemory, let running = workers[key] { watchMemory(of: running, key) }
        // From here on only the worker has a file without a name open: with the worker it is gone.
        withExtendedLifetime(made) {}
    }

    private static func make(
        _ file: FillFile, as key: WorkerKey, on target: ResolvedTarget
    ) throws(SystemCallError) -> MadeFile {
        let directory = try Directory(at: file.directory, seenBy: file.process.id)
        // What the target has put there meanwhile is not what was planned.
        guard directory.identity == FileIdentity(device: file.device, inode: file.inode), target.isRunning else {
            throw SystemCallError("open", on: file.directory, errno: Errno(rawValue: ESTALE))
        }
        let isInMemory = try directory.isInMemory(over: file.upperDirectory)
        if file.isVisible {
            let descriptor = try directory.createFile(key.fileName)
            let kept = try descriptor.duplicate()
            return MadeFile(descriptor, FilledDirectory(directory, file: kept), isInMemory: isInMemory)
        }
        let descriptor = try directory.createUnnamedFile(orForAMoment: key.fileName)
        if case .io(let load) = file.load, load.isDirect {
            try descriptor.refuseWithoutDirectIO(subject: file.directory)
        }
        return MadeFile(descriptor, FilledDirectory(directory, file: nil), isInMemory: isInMemory)
    }

    func unfill(
        _ file: FillFile, as key: WorkerKey, in cgroup: TargetFacts.Cgroup, isOfThisBoot: Bool
    ) async -> UndoProgress {
        var workerOutcome = UndoOutcome.alreadyRestored
        if isOfThisBoot {
            let end = endWorker(key, in: cgroup)
            guard case .done(let outcome) = end else { return end }
            if case .failed = outcome { return end }
            workerOutcome = outcome
        }
        let known = filled[key]
        do throws(SystemCallError) {
            let outcome = try await inTime(on: file.directory, isUndoing: true) { () throws(SystemCallError) in
                if let known { return try Self.free(known, as: key) }
                return try Self.freeByName(file, as: key, isOfThisBoot: isOfThisBoot)
            }
            filled[key] = nil
            if let slot = removals.removeValue(forKey: key) { deadMan?.letGo(slot) }
            return .done(outcome == .alreadyRestored ? workerOutcome : outcome)
        } catch {
            // A file without a name has gone with its worker, whatever its directory says.
            guard file.isVisible else {
                filled[key] = nil
                return .done(workerOutcome)
            }
            return .done(.failed("the file \(key.fileName) in \(file.directory): \(error)"))
        }
    }

    /// Undoes what this engine did: the file is emptied first, so that it takes no room wherever it is now.
    private static func free(_ known: FilledDirectory, as key: WorkerKey) throws(SystemCallError) -> UndoOutcome {
        guard let identity = try known.identity else { return .alreadyRestored }
        _ = try known.emptyFile()
        switch try known.directory.entry(key.fileName) {
        case .file(identity)?: _ = try known.directory.remove(key.fileName)
        case nil: break
        case .file?, .somethingElse?:
            return .drifted(found: "something else is called \(key.fileName) now; the file itself is emptied")
        }
        if let names = try known.emptyFile(), names > 0 {
            return .drifted(found: "the file was given another name; it is emptied and stays there")
        }
        return .restored
    }

    /// Undoes what an earlier engine did, or may have been about to do.
    private static func freeByName(
        _ file: FillFile, as key: WorkerKey, isOfThisBoot: Bool
    ) throws(SystemCallError) -> UndoOutcome {
        guard let directory = try find(file, isOfThisBoot: isOfThisBoot) else {
            guard file.isVisible, isOfThisBoot, try isRunning(file.process) else { return .alreadyRestored }
            return .drifted(found: "\(file.directory) is another directory now; a file in the former one may be left")
        }
        switch try directory.entry(key.fileName) {
        case nil: return .alreadyRestored
        case .somethingElse?: return .drifted(found: "\(key.fileName) is no file any more")
        case .file?: return try directory.remove(key.fileName) ? .restored : .alreadyRestored
        }
    }

    /// The directory, after a restart: by the target while that runs, by the node's own mounts, or, for a container's
    /// own tree that is not mounted any more, where the node keeps what was written into it. Nil when it is not there.
    private static func find(_ file: FillFile, isOfThisBoot: Bool) throws(SystemCallError) -> Directory? {
        if isOfThisBoot, try isRunning(file.process),
            let directory = try ifThere({ () throws(SystemCallError) in
                try Directory(at: file.directory, seenBy: file.process.id)
            }), directory.identity == FileIdentity(device: file.device, inode: file.inode)
        {
            return directory
        }
        guard let path = file.pathInFilesystem else { return nil }
        let mounts = try MountEntry.all(seenBy: "1")
        for mount in mounts {
            guard let below = path.below(mount.root) else { continue }
            let place = (mount.mountPoint == "/" ? "" : mount.mountPoint) + below
            // Devices get other numbers with each boot, and btrfs has several: the inode and the file's name tell.
            if let directory = try ifThere({ () throws(SystemCallError) in
                try Directory(onNodeAt: place.isEmpty ? "/" : place)
            }), directory.identity.inode == file.inode,
                !isOfThisBoot || directory.identity.device == file.device
            {
                return directory
            }
        }
        // What lies under a mounted overlay is only changed through it.
        guard let upper = file.upperDirectory, !mounts.contains(where: { $0.upperDirectory == upper }) else {
            return nil
        }
        return try ifThere { () throws(SystemCallError) in try Directory(onNodeAt: upper + path) }
    }

    private static func isRunning(_ process: TargetFacts.Process) throws(SystemCallError) -> Bool {
        do throws(SystemCallError) {
            return try ProcessFacts(ofProcess: process.id).startTime == process.startTime
        } catch {
            if error.errno == .noEntry || error.errno == .noProcess { return false }
            throw error
        }
    }
}
