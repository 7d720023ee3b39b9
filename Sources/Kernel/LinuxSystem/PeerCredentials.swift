internal import CLinux

/// Who was on the other side of a Unix socket when it was connected, as the kernel recorded it.
///
/// The corresponding option is `SO_PEERCRED`, `unix(7)`.
package struct PeerCredentials: Hashable, Sendable {
    package let process: Int32
    package let user: UInt32
    package let group: UInt32

    package init(of socket: borrowing OwnedDescriptor) throws(SystemCallError) {
        let raw = socket.rawValue
        var peer = clinux_peer()
        try systemCall("getsockopt SO_PEERCRED", on: "descriptor \(raw)") { clinux_peer_credentials(raw, &peer) }
        process = peer.process
        user = peer.user
        group = peer.group
    }
}
