extension SystemCallFilter {
    /// `squall-runtimes`: answers the engine on a socket that it inherits, and speaks to container runtimes on their Unix
    /// sockets. It makes no process, no file, and no network connection.
    package static let runtimes = SystemCallFilter(
        name: "squall-runtimes", rules: .unprivileged + .inheritedSockets + .readingFiles)
}
