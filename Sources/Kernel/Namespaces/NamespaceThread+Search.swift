internal import CLinux
internal import Glibc
package import LinuxSystem
internal import Synchronization

extension NamespaceThread {
    /// A number that no other network namespace of this boot has or had; 0 before Linux 5.14.
    ///
    /// The corresponding system call is `getsockopt(2)` with `SO_NETNS_COOKIE`, on a socket opened inside.
    package func cookie(ofNetworkNamespace namespace: borrowing NamespaceHandle) throws(SystemCallError) -> UInt64 {
        do throws(NamespaceEntryError<SystemCallError>) {
            return try run(inNetworkNamespaceOf: namespace) { () throws(SystemCallError) in try ownCookie() }
        } catch {
            throw error.systemCallError
        }
    }

    private func ownCookie() throws(SystemCallError) -> UInt64 {
        let raw = try systemCall("socket", on: "network namespace") {
            Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        }
        let socket = OwnedDescriptor(adopting: raw)
        var cookie: UInt64 = 0
        do throws(SystemCallError) {
            try systemCall("getsockopt SO_NETNS_COOKIE", on: "network namespace") {
                clinux_netns_cookie(socket.rawValue, &cookie)
            }
        } catch let error where error.errno.rawValue == ENOPROTOOPT {
            return 0
        }
        return cookie
    }

    /// Finds a network namespace again by what was written down about it. Nil says that it is gone: every place that
    /// could keep it was asked, which are the processes and the files that process 1 or this process has mounted it on.
    /// A cookie of 0 (an old kernel) is not compared.
    ///
    /// - Throws: When it was not found, and a place could not be asked: "not there" is never said for "could not look".
    package func findNetworkNamespace(inode: UInt64, cookie: UInt64) throws(SystemCallError) -> NamespaceHandle? {
        if let path = passed.withLock({ $0.removeValue(forKey: inode) }) {
            do throws(SystemCallError) {
                if let namespace = try open(path, ifInodeIs: inode, cookie: cookie) { return namespace }
            } catch {
                // Then it is asked again among all.
            }
        }
        var unasked: SystemCallError?
        var others: [UInt64: String] = [:]
        var wanted: NamespaceHandle?
        for path in try processPaths() + mountedPaths(inode: inode) {
            do throws(SystemCallError) {
                // Asking for the number first: of a thousand processes, a few are opened.
                guard let found = try inodeOfNamespace(at: path) else { continue }
                if found != inode {
                    if found != home.inode { others[found] = path }
                } else if wanted == nil {
                    wanted = try open(path, ifInodeIs: inode, cookie: cookie)
                }
            } catch {
                unasked = unasked ?? error
            }
        }
        passed.withLock { $0 = others }
        if wanted == nil, let unasked { throw unasked }
        return wanted
    }

    private func processPaths() throws(SystemCallError) -> [String] {
        try TextFile.names(in: "/proc").filter { $0.allSatisfy(\.isNumber) }.map { "/proc/\($0)/ns/net" }
    }

    private func mountedPaths(inode: UInt64) throws(SystemCallError) -> [String] {
        let name = "net:[\(inode)]"
        return try MountEntry.all(seenBy: "1").filter { $0.root == name }.map { "/proc/1/root\($0.mountPoint)" }
            + MountEntry.all().filter { $0.root == name }.map(\.mountPoint)
    }

    /// Nil when the place has vanished.
    private func inodeOfNamespace(at path: String) throws(SystemCallError) -> UInt64? {
        do throws(SystemCallError) {
            return UInt64(try fileStatus(at: path).st_ino)
        } catch {
            if error.meansVanished { return nil }
            throw error
        }
    }

    /// Nil when the place has vanished, is no network namespace, or is another one.
    private func open(
        _ path: String, ifInodeIs inode: UInt64, cookie: UInt64
    ) throws(SystemCallError) -> NamespaceHandle? {
        let namespace: NamespaceHandle
        do throws(SystemCallError) {
            namespace = try NamespaceHandle(.network, at: path)
        } catch {
            if error.meansVanished || error.errno == .invalidArgument && error.call == "ioctl NS_GET_NSTYPE" {
                return nil
            }
            throw error
        }
        guard namespace.inode == inode else { return nil }
        let found = try self.cookie(ofNetworkNamespace: namespace)
        guard cookie == 0 || found == cookie else { return nil }
        return namespace
    }
}

extension SystemCallError {
    var meansVanished: Bool { [.noEntry, .noProcess, .notDirectory].contains(errno) }
}
