import ChaosModel
import ContainerRuntimes

let exampleName = { () -> ContainerName in
    guard let name = ContainerName("shop-db") else { fatalError("it is a name") }
    return name
}()

let exampleContainer = RuntimeContainer(
    id: "4f6b1c2d3e4f", name: "web", processID: 4711, cgroupsPath: "kubepods-pod1.slice:cri-containerd:4f6b1c2d3e4f",
    createdAt: 1_700_000_000_123_456_789,
    sandbox: RuntimeSandbox(
        id: "9a8b7c6d5e4f", processID: 4650, podName: "shop-0", podNamespace: "shop", podUID: "uid-1",
        labels: ["app": "shop"], annotations: ["squall.dev/allow": "true", "note": "a \"quoted\"\nline"],
        usesHostNetwork: false))
