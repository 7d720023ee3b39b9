extension SystemCallFilter {
    /// `squall-runtimes`: speaks to container runtimes on their Unix sockets. It makes no process, no file, and no
    /// network connection, and nobody connects to it.
    package static let runtimes = SystemCallFilter(name: "squall-runtimes", rules: .unprivileged)
}
