internal import CLinux
internal import Cgroups
internal import Glibc
package import LinuxSystem

/// Starts a process, and returns when its program runs. All its signals are at their defaults and unblocked, its
/// directory is `/`, and neither it nor its descendants can gain privileges. Call it from a thread that lives as long
/// as the process shall: `signalAtParentDeath` follows the thread, not this process.
///
/// The corresponding system calls are `clone3(2)` and `execveat(2)`.
package func spawn(_ order: SpawnOrder) throws(SpawnError) -> ProcessHandle {
    let result = try start(order, timeout: Int32(clamping: order.timeout.wholeNanoseconds / 1_000_000))
    return ProcessHandle(id: result.process, adopting: OwnedDescriptor(adopting: result.pidfd))
}

/// The same, and returns as soon as the process is there: in a cgroup that has used up its CPU time it may take long to
/// come to its program. The order's timeout does not count.
package func spawnWithoutWaiting(_ order: SpawnOrder) throws(SpawnError) -> StartingProcess {
    let result = try start(order, timeout: -1)
    return StartingProcess(
        handle: ProcessHandle(id: result.process, adopting: OwnedDescriptor(adopting: result.pidfd)),
        program: order.programName, report: OwnedDescriptor(adopting: result.report))
}

/// A process that may not have come to its program yet.
package struct StartingProcess: ~Copyable, Sendable {
    package let handle: ProcessHandle
    fileprivate let program: String
    fileprivate let report: OwnedDescriptor

    /// Why it has ended before its program began; nil when it has not. Asked for the first time: it is told once.
    package func failure() -> SpawnError? {
        let result = clinux_spawn_failure(report.rawValue)
        return result.error == 0 ? nil : SpawnError(program: program, result)
    }
}

extension SpawnOrder {
    fileprivate var programName: String { arguments.first ?? "a program without a name" }
}

extension SpawnError {
    fileprivate init(program: String, _ result: clinux_spawn_result) {
        self.init(program: program, stage: SpawnStage(result.stage), errno: Errno(rawValue: result.error))
    }
}

private func start(_ order: SpawnOrder, timeout: Int32) throws(SpawnError) -> clinux_spawn_result {
    let program = order.programName
    let null: OwnedDescriptor
    do throws(SystemCallError) {
        null = try OwnedDescriptor.open("/dev/null", O_RDWR)
    } catch {
        throw SpawnError(program: program, stage: .descriptors, errno: error.errno)
    }
    var descriptors = order.descriptors.map { clinux_spawn_descriptor(source: $0.source, target: $0.target) }
    for target in Int32(0)...2 where !order.descriptors.contains(where: { $0.target == target }) {
        descriptors.append(clinux_spawn_descriptor(source: null.rawValue, target: target))
    }

    var raw = clinux_spawn_order()
    raw.executable = order.executable.descriptor.rawValue
    raw.cgroup_directory = -1
    var processFiles: [Int32] = []
    switch order.placement {
    case .directory(let directory): raw.cgroup_directory = directory.descriptor.rawValue
    case .processFiles(let files): processFiles = files.map { $0.descriptor.rawValue }
    case nil: break
    }
    raw.parent_death_signal = order.signalAtParentDeath
    if let score = order.outOfMemoryScore {
        raw.sets_oom_score = 1
        raw.oom_score = score
    }
    if let user = order.user {
        raw.sets_user = 1
        raw.user = user.user
        raw.group = user.group
    }
    raw.capabilities = order.capabilities
    raw.timeout_milliseconds = timeout

    let result = withStrings(order.arguments) { arguments in
        withStrings(order.environment) { environment in
            descriptors.withUnsafeBufferPointer { descriptors in
                processFiles.withUnsafeBufferPointer { processFiles in
                    order.namespaces.withUnsafeBufferPointer { namespaces in
                        raw.arguments = arguments
                        raw.environment = environment
                        raw.descriptors = descriptors.baseAddress
                        raw.descriptor_count = descriptors.count
                        raw.cgroup_process_files = processFiles.baseAddress
                        raw.cgroup_process_file_count = processFiles.count
                        raw.namespaces = namespaces.baseAddress
                        raw.namespace_count = namespaces.count
                        return clinux_spawn(&raw)
                    }
                }
            }
        }
    }
    if result.error != 0 { throw SpawnError(program: program, result) }
    return result
}

/// Lends strings as C wants them: terminated by 0 each, and by a null pointer together.
private func withStrings<Value>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Value
) -> Value {
    var bytes: [CChar] = []
    var starts: [Int] = []
    for string in strings {
        starts.append(bytes.count)
        bytes.append(contentsOf: string.utf8CString)
    }
    return bytes.withUnsafeBufferPointer { bytes in
        let pointers = starts.map { start in bytes.baseAddress.map { $0 + start } } + [nil]
        return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
    }
}

extension SpawnStage {
    fileprivate init(_ stage: clinux_spawn_stage) {
        switch stage {
        case CLINUX_SPAWN_CLONE: self = .clone
        case CLINUX_SPAWN_CGROUP: self = .cgroup
        case CLINUX_SPAWN_PARENT_DEATH: self = .parentDeath
        case CLINUX_SPAWN_OOM_SCORE: self = .outOfMemoryScore
        case CLINUX_SPAWN_NAMESPACES: self = .namespaces
        case CLINUX_SPAWN_DIRECTORY: self = .directory
        case CLINUX_SPAWN_DESCRIPTORS: self = .descriptors
        case CLINUX_SPAWN_BOUNDING_SET: self = .boundingSet
        case CLINUX_SPAWN_USER: self = .user
        case CLINUX_SPAWN_CAPABILITIES: self = .capabilities
        case CLINUX_SPAWN_NO_NEW_PRIVILEGES: self = .noNewPrivileges
        case CLINUX_SPAWN_EXEC: self = .execute
        case CLINUX_SPAWN_TIMEOUT: self = .timeout
        default: self = .pipe
        }
    }
}
