internal import Glibc
internal import NIOCore

/// Who listens at a socket, as the kernel recorded it when that began.
package struct DockerListener: Hashable, Sendable {
    package let user: UInt32

    package init(user: UInt32) {
        self.user = user
    }

    /// What it says decides whose a container is: it has to be root's word, or that of whoever asks.
    package func isTrusted(by asking: UInt32) -> Bool { user == 0 || user == asking }

    /// Nil where the kernel does not tell.
    ///
    /// The corresponding system call is `getsockopt(2)` with `SO_PEERCRED`.
    init?(of channel: any Channel) {
        guard let options = channel as? any SocketOptionProvider else { return nil }
        let credentials: EventLoopFuture<Credentials> = options.unsafeGetSocketOption(
            level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
        var found: UInt32?
        // On the channel's own loop it has been looked up already.
        credentials.assumeIsolated().whenSuccess { found = $0.user }
        guard let found else { return nil }
        user = found
    }
}

/// As `struct ucred`.
private struct Credentials: Sendable {
    let process: pid_t
    let user: uid_t
    let group: gid_t
}
