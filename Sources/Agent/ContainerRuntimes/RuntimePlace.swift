/// A socket at which a container runtime may listen.
package struct RuntimePlace: Hashable, Sendable {
    package enum Language: Sendable {
        case cri
        /// Docker's API, which Podman speaks too.
        case docker
    }

    /// Before the path of a socket at which Docker's API is spoken.
    private static let dockerPrefix = "docker:"
    /// Where runtimes listen, unless the administrator says otherwise.
    private static let usual = [
        "/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock", "/run/crio/crio.sock",
        "/var/run/crio/crio.sock", "docker:/run/docker.sock", "docker:/run/podman/podman.sock",
    ]

    package let path: String
    package let language: Language
    /// The administrator says that a runtime is there.
    package let isNamed: Bool

    /// - Parameter text: A path, with `docker:` before it where Docker's API is spoken.
    package init(_ text: String, isNamed: Bool) {
        let isDocker = text.hasPrefix(Self.dockerPrefix)
        path = isDocker ? String(text.dropFirst(Self.dockerPrefix.count)) : text
        language = isDocker ? .docker : .cri
        self.isNamed = isNamed
    }

    /// Docker is on many nodes whose pods it does not run: whether it is well there is not the agent's affair, unless it was
    /// named.
    package var isGuess: Bool { language == .docker && !isNamed }

    /// - Parameter named: Empty for the usual ones, of which a node has few or none.
    package static func all(named: [String]) -> [RuntimePlace] {
        named.isEmpty
            ? usual.map { RuntimePlace($0, isNamed: false) } : named.map { RuntimePlace($0, isNamed: true) }
    }
}
