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
        return RunningContainer(
            facts: TargetFacts.Container(
                id: container.id, name: container.name, pod: container.sandbox.podName,
                namespace: container.sandbox.podNamespace, podUID: container.sandbox.podUID),
            processID: container.processID)
    }
}
