extension SystemCallFilter {
    /// `squall-gateway`: serves HTTP on sockets that it inherits. It opens no file, not even to read it,
    /// and makes no process and no network connection.
    package static let gateway = SystemCallFilter(name: "squall-gateway", rules: .unprivileged + .inheritedSockets)
}

extension [SystemCallRule] {
    static let inheritedSockets: [SystemCallRule] = [
        .allow("accept4", because: "take connections on the inherited sockets"),
        .allow("listen", because: "NIO listens again on a socket that it is given"),
    ]
}
