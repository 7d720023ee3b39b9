import ChaosModel

/// A container that its runtime is to stop, as a fault plans it. It cannot be taken back.
package struct ContainerStop: Hashable, Sendable {
    /// The runtime's whole identifier.
    package let container: String
    /// How long its own stop signal is given before SIGKILL; with 0 it is killed at once.
    package let graceSeconds: Int64

    package init(of container: String, graceSeconds: Int64) {
        self.container = container
        self.graceSeconds = graceSeconds
    }

    /// As a person would say it.
    package var summary: String {
        let how =
            graceSeconds == 0
            ? "with SIGKILL" : "with its own stop signal, and with SIGKILL after \(Duration.seconds(graceSeconds).text)"
        return "stop container \(container.prefix(12)) \(how)"
    }
}

/// Has the node's container runtime stop containers.
package protocol ContainerStopper: Sendable {
    /// Returns when the container has ended. A task that is cancelled takes the order back: a signal that was not sent by
    /// then is not sent any more, where the runtime ends a call with its caller.
    ///
    /// - Returns: Its exit status, where the runtime tells.
    func stop(_ stop: ContainerStop) async throws(ContainerStopError) -> Int32?
}

/// Why a container was not stopped.
package struct ContainerStopError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    /// The runtime was told nothing: whatever became of the container was somebody else.
    package let isUntold: Bool

    package init(_ description: String, isUntold: Bool) {
        self.description = description
        self.isUntold = isUntold
    }
}
