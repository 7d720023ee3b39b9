import ChaosModel
import ContainerRuntimes
import LinuxSystem
import Synchronization
import Targets

/// Looks containers up through the runtimes process.
final class RuntimeContainerDirectory: ContainerDirectory {
    private let client: RuntimeClient
    /// However many sessions wait for a container, the runtime is asked for all of them at most once a second.
    private let known = Mutex<(at: BootInstant, listings: [RuntimeListing])?>(nil)

    init(client: RuntimeClient) {
        self.client = client
    }

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
            let candidates = try listings().filter { listing in
                listing.id != container.id && listing.name == container.name && listing.podName == container.pod
                    && listing.podNamespace == container.namespace
                    && TargetSelector.containerIdentifier(listing.id) == listing.id
            }
            // One at most is running, or two for a moment.
            for listing in candidates.prefix(4) {
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

    private func listings() throws(RuntimeFailure) -> [RuntimeListing] {
        if let known = known.withLock({ $0 }), BootInstant.now - known.at < .seconds(1) { return known.listings }
        let listings = try client.containers()
        known.withLock { $0 = (.now, listings) }
        return listings
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
