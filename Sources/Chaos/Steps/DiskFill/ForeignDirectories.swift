import Filesystems
import Glibc
import LinuxSystem

/// Directories of the node in which pods, containers and the agent keep what is theirs. A container's paths end at its
/// root; what runs in the host's own file tree sees these beside its own.
struct ForeignDirectories: Sendable {
    private struct Known: Sendable {
        let path: String
        /// By whose eyes it is found there.
        let process: Int32
    }

    private let known: [Known]

    /// - Parameter stateDirectory: As the agent itself sees it.
    init(stateDirectory: String?) {
        known =
            Self.standard.map { Known(path: $0, process: 1) }
            + [stateDirectory].compactMap(\.self).map { Known(path: $0, process: getpid()) }
    }

    /// Kubelet's, the container runtimes', and the agent's.
    private static let standard = [
        "/var/lib/kubelet", "/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/var/lib/crio",
        "/var/lib/rancher", "/run/containerd", "/run/containers", "/run/docker", "/run/crio", "/run/k3s",
        "/var/lib/squall", "/run/squall",
    ]

    /// The one in which a directory lies: by its path, or by where its file system has it, should a part of that be
    /// mounted elsewhere, too.
    func holding(
        _ directory: borrowing Directory, at place: (mount: MountEntry, path: String)?
    ) throws(SystemCallError) -> String? {
        let seen = try directory.pathSeen()
        for each in known {
            if seen.below(each.path) != nil { return each.path }
            guard
                let foreign = try ifThere({ () throws(SystemCallError) in
                    try Directory(at: each.path, seenBy: each.process)
                })
            else { continue }
            // A symbolic link may have led there.
            if try seen.below(foreign.pathSeen()) != nil { return each.path }
            guard let place, let its = try foreign.place(seenBy: each.process) else { continue }
            if its.mount.device == place.mount.device, place.path.below(its.path) != nil { return each.path }
        }
        return nil
    }
}

/// Nil where there is none, or whoever would see it has ended.
func ifThere(
    _ open: () throws(SystemCallError) -> Directory
) throws(SystemCallError) -> Directory? {
    do throws(SystemCallError) {
        return try open()
    } catch {
        if [ENOENT, ENOTDIR, ESRCH, ELOOP].contains(error.errno.rawValue) { return nil }
        throw error
    }
}
