import ChaosModel
import ContainerRuntimes
import Targets

/// Looks containers up through the runtimes process.
struct RuntimeContainerDirectory: ContainerDirectory {
    let client: RuntimeClient

    func container(_ id: String) throws(Problem) -> RunningContainer {
        let container: RuntimeContainer
        do {
            container = try client.container(id)
        } catch {
            throw error.problem
        }
        return RunningContainer(container)
    }

    func successor(of container: TargetFacts.Container) throws(Problem) -> RunningContainer? {
        do throws(RuntimeFailure) {
            for listing in try client.containers()
            where listing.id != container.id && listing.name == container.name && listing.podName == container.pod
                && listing.podNamespace == container.namespace
            {
                let found: RuntimeContainer
                do throws(RuntimeFailure) {
                    found = try client.container(listing.id)
                } catch {
                    // It ended since it was listed.
                    if error == .notFound { continue }
                    if case .notRunning = error { continue }
                    throw error
                }
                // Another pod may have the old one's name.
                if found.sandbox.podUID == container.podUID { return RunningContainer(found) }
            }
            return nil
        } catch {
            throw error.problem
        }
    }
}

extension RunningContainer {
    fileprivate init(_ container: RuntimeContainer) {
        self.init(
            facts: TargetFacts.Container(
                id: container.id, name: container.name, pod: container.sandbox.podName,
                namespace: container.sandbox.podNamespace, podUID: container.sandbox.podUID),
            processID: container.processID)
    }
}
