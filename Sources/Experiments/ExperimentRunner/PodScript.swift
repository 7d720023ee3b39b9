import ChaosModel
import ExperimentModel
import KubernetesClient
import LinuxSystem

/// A script in a pod of an image of its own, which is gone when it has ended.
struct PodScript {
    /// Where the context is there.
    private static let folder = "/run/squall"
    /// What an annotation may have.
    private static let longestContext = 200_000
    private static let pause = Duration.milliseconds(500)

    let script: Script
    let pod: Script.Pod
    let words: [String]
    let environment: [(name: String, value: String)]
    let context: JSON

    /// - Returns: What it wrote, to its standard error too: a container's log has both.
    func run(in cluster: Cluster, within limit: Duration, stop: StopSignal) throws -> String {
        let client = try cluster.client()
        let namespace = pod.namespace ?? client.namespace
        let deadline = BootInstant.now + limit
        let pods = try APIPath("/api/v1", "namespaces", namespace, "pods")
        let name = "squall-script-" + (0..<8).map { _ in String("0123456789abcdef".randomElement() ?? "0") }.joined()
        let path = try pods.appending(name)
        let manifest = try manifest(name, limit)
        var hasEnded = false
        defer {
            // It ends by its own deadline, whatever becomes of this.
            try? client.delete(path, gracePeriod: 0)
        }
        _ = try client.create(manifest, at: pods)
        while !hasEnded {
            guard !stop.wait(Self.pause) else { throw StepFailure("the experiment stops") }
            let current = try client.get(path)
            switch current["status"]?["phase"]?.stringValue {
            case "Succeeded": hasEnded = true
            case "Failed": throw StepFailure(Self.failure(current, (try? client.log(of: path, atMost: 4096)) ?? ""))
            default:
                if let reason = Self.obstacle(current) { throw StepFailure(reason) }
                guard BootInstant.now < deadline else {
                    throw StepFailure("it had not ended after \(limit.text)\(Self.waiting(current))")
                }
            }
        }
        let output = try client.log(of: path, atMost: Script.longestOutput + 1)
        guard output.utf8.count <= Script.longestOutput else {
            throw StepFailure("its output is longer than \(Script.longestOutput) bytes")
        }
        return output
    }

    private func manifest(_ name: String, _ limit: Duration) throws -> JSON {
        let document = context.text
        guard document.utf8.count <= Self.longestContext else {
            throw StepFailure("the context is longer than \(Self.longestContext) bytes, too long for a pod")
        }
        guard let image = try pod.image.value(in: context).stringValue, !image.isEmpty else {
            throw StepFailure("its image is no text")
        }
        let variables: [JSON] =
            [["name": "SQUALL_CONTEXT", "value": .string("\(Self.folder)/context.json")]]
            + environment.map { ["name": .string($0.name), "value": .string($0.value)] }
        let file: JSON = [
            "path": "context.json", "fieldRef": ["fieldPath": "metadata.annotations['squall.dev/context']"],
        ]
        return [
            "apiVersion": "v1", "kind": "Pod",
            "metadata": [
                "name": .string(name),
                "labels": ["app.kubernetes.io/name": "squall-script", "app.kubernetes.io/managed-by": "squall"],
                "annotations": ["squall.dev/context": .string(document)],
            ],
            "spec": .object([
                ("restartPolicy", "Never"),
                ("activeDeadlineSeconds", .integer(max(1, Int64(limit / .seconds(1)) + 5))),
                ("automountServiceAccountToken", .boolean(pod.serviceAccount != nil)),
                ("serviceAccountName", pod.serviceAccount.map(JSON.string)),
                (
                    "imagePullSecrets",
                    pod.pullSecrets.isEmpty ? nil : .array(pod.pullSecrets.map { ["name": .string($0)] })
                ),
                ("volumes", [["name": "context", "downwardAPI": ["items": [file]]]]),
                (
                    "containers",
                    [
                        [
                            "name": "script", "image": .string(image), "command": .array(words.map(JSON.string)),
                            "env": .array(variables),
                            "volumeMounts": [["name": "context", "mountPath": .string(Self.folder), "readOnly": true]],
                            "securityContext": ["allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]]],
                        ]
                    ]
                ),
            ]),
        ]
    }

    private static func status(of pod: JSON) -> JSON? { pod["status"]?["containerStatuses"]?.arrayValue?.first }

    /// What time does not mend.
    private static func obstacle(_ pod: JSON) -> String? {
        let waiting = status(of: pod)?["state"]?["waiting"]
        guard let reason = waiting?["reason"]?.stringValue,
            [
                "ErrImageNeverPull", "InvalidImageName", "ImagePullBackOff", "CreateContainerConfigError",
                "CreateContainerError", "RunContainerError",
            ].contains(reason)
        else { return nil }
        return "its pod cannot start: \(reason): \((waiting?["message"]?.stringValue ?? "").cut(to: 300))"
    }

    private static func waiting(_ pod: JSON) -> String {
        status(of: pod)?["state"]?["waiting"]?["reason"]?.stringValue.map { ": its pod is \($0)" } ?? ""
    }

    private static func failure(_ pod: JSON, _ log: String) -> String {
        let last = log.trimmed.split(separator: "\n").last.map { ": \(String($0).cut(to: 300))" } ?? ""
        if let ended = status(of: pod)?["state"]?["terminated"], let code = ended["exitCode"]?.integerValue {
            return "its pod ended with exit code \(code)\(last)"
        }
        return "its pod failed: \(pod["status"]?["reason"]?.stringValue ?? "for no reason that it says")\(last)"
    }
}
