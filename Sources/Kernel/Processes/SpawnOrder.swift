package import Cgroups
internal import Glibc
package import LinuxSystem

/// A process to be started: every field says what it will have, and it has nothing else of ours.
package struct SpawnOrder: Sendable {
    /// An open file of the new process, under the number that it expects. The source stays ours and must stay open
    /// until `spawn` returns.
    package struct Descriptor: Hashable, Sendable {
        package let source: Int32
        package let target: Int32

        package init(source: Int32, target: Int32) {
            self.source = source
            self.target = target
        }
    }

    /// Who the process is; it has no supplementary groups.
    package struct User: Hashable, Sendable {
        package let user: UInt32
        package let group: UInt32

        package init(user: UInt32, group: UInt32) {
            self.user = user
            self.group = group
        }

        package static let nobody = User(user: 65534, group: 65534)
    }

    package let executable: Executable
    /// The first is the program's own name.
    package var arguments: [String]
    /// Each as `NAME=value`.
    package var environment: [String] = []
    /// All that the process has open. Of 0, 1 and 2, those that are not listed are `/dev/null`.
    package var descriptors: [Descriptor] = []
    /// Nil: where its parent is.
    package var placement: CgroupPlacement?
    /// Descriptors of namespaces to join, in this order.
    package var namespaces: [Int32] = []
    /// Nil: as its parent.
    package var user: User?
    /// Its permitted, effective, inheritable, ambient and bounding set, as a mask: exactly these.
    package var capabilities: UInt64 = 0
    /// Nil: as its parent. -1000 (never killed) to 1000 (killed first).
    package var outOfMemoryScore: Int32?
    /// What it receives when the thread that spawned it ends; 0 for nothing.
    package var signalAtParentDeath: Int32 = SIGKILL
    /// How long its start may take. In a frozen cgroup it would take for ever.
    package var timeout: Duration = .seconds(2)

    package init(executable: Executable, arguments: [String]) {
        self.executable = executable
        self.arguments = arguments
    }
}

/// A step of a new process on its way to its program.
package enum SpawnStage: String, Hashable, Sendable {
    case pipe
    case clone
    case cgroup = "enter cgroup"
    case parentDeath = "set parent death signal"
    case outOfMemoryScore = "set out-of-memory score"
    case namespaces = "join namespaces"
    case directory = "change directory"
    case descriptors = "arrange descriptors"
    case boundingSet = "limit bounding set"
    case user = "change user"
    case capabilities = "set capabilities"
    case noNewPrivileges = "forbid new privileges"
    case execute
    /// It did not come to its program in time (a frozen cgroup, a machine without memory), and was killed.
    case timeout = "start in time"
}

/// Why no process was started.
package struct SpawnError: Error, Hashable, Sendable {
    package let program: String
    package let stage: SpawnStage
    package let errno: Errno

    package init(program: String, stage: SpawnStage, errno: Errno) {
        self.program = program
        self.stage = stage
        self.errno = errno
    }
}

extension SpawnError: CustomStringConvertible {
    package var description: String { "spawn \(program): \(stage.rawValue): \(errno)" }
}
