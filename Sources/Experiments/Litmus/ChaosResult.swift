import ChaosModel
import Glibc
import KubernetesClient
import LinuxSystem

/// The ChaosResult of a run, and the events beside it: what LitmusChaos's other parts look at.
final class ChaosResult {
    private static let group = "litmuschaos.io/v1alpha1"

    private let client: KubernetesClient
    private let namespace: String
    private let experiment: String
    private let engine: String?
    private let engineUID: String
    private let instance: String?
    /// Of the pod that this runs in.
    private let podName: String?
    private let name: String
    private var uid = ""
    private var labels: [(String, String)] = []

    private let list: APIPath
    private let path: APIPath

    init(
        _ client: KubernetesClient, namespace: String, experiment: String, engine: JSON?, settings: LitmusSettings
    ) throws(KubernetesError) {
        self.client = client
        self.namespace = namespace
        self.experiment = experiment
        self.engine = engine?["metadata"]?["name"]?.stringValue
        engineUID = engine?["metadata"]?["uid"]?.stringValue ?? settings["CHAOS_UID"] ?? ""
        instance = settings["INSTANCE_ID"]
        podName = settings["POD_NAME"]
        name = [self.engine, experiment, instance].compactMap(\.self).joined(separator: "-")
        list = try APIPath("/apis/\(Self.group)", "namespaces", namespace, "chaosresults")
        path = try list.appending(name)
    }

    /// How many runs there were, of each verdict, and what is there.
    private func current() throws(KubernetesError) -> JSON? {
        do throws(KubernetesError) {
            return try client.get(path)
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
    }

    /// Says that the run begins.
    func begin(probes: [LitmusProbes.Probe]) throws(KubernetesError) {
        if let podName {
            // What selects its experiment's pods selects its result.
            let pod = try? client.pod(podName, in: namespace)
            labels = (pod?.labels ?? [:]).sorted { $0.key < $1.key }
        }
        labels.removeAll { $0.0 == "chaosUID" }
        labels.append(("chaosUID", engineUID))
        let awaited = probes.map { Self.status(of: $0, "Awaited", "") }
        if let old = try current() {
            uid = old["metadata"]?["uid"]?.stringValue ?? ""
            _ = try client.merge(
                document(
                    phase: "Running", verdict: "Awaited", percentage: "Awaited", probes: awaited, targets: .null,
                    history: Self.counters(old), error: .null), into: path)
        } else {
            let made = try client.create(
                document(
                    phase: "Running", verdict: "Awaited", percentage: "Awaited", probes: awaited, targets: nil,
                    history: Self.counters(nil), error: nil), at: list)
            uid = made["metadata"]?["uid"]?.stringValue ?? ""
        }
        tell("Awaited", "experiment: \(experiment), Result: Awaited")
    }

    /// Whom it hits, while it does.
    func hits(_ targets: [JSON]) throws(KubernetesError) {
        _ = try client.merge(["status": ["history": ["targets": .array(targets)]]], into: path)
    }

    struct Outcome {
        var phase = "Completed"
        var verdict = "Pass"
        /// In percent, of those that the engine has.
        var percentage = 100
        var probes: [JSON] = []
        var targets: [JSON] = []
        var error: LitmusError?
    }

    func end(_ outcome: Outcome) throws(KubernetesError) {
        var (passed, failed, stopped) = (0, 0, 0)
        switch outcome.verdict {
        case "Pass": passed = 1
        case "Fail": failed = 1
        case "Stopped": stopped = 1
        default: break
        }
        let error: JSON =
            outcome.error.map { ["errorCode": .string($0.code.rawValue), "reason": .string($0.description)] } ?? .null
        let old = try current()
        _ = try client.merge(
            document(
                phase: outcome.phase, verdict: outcome.verdict, percentage: "\(outcome.percentage)",
                probes: outcome.probes, targets: .array(outcome.targets),
                history: Self.counters(old, passed: passed, failed: failed, stopped: stopped), error: error), into: path
        )
        tell(
            outcome.verdict, "experiment: \(experiment), Result: \(outcome.verdict)",
            isWarning: outcome.verdict != "Pass")
    }

    private static func counters(_ old: JSON?, passed: Int = 0, failed: Int = 0, stopped: Int = 0) -> [(String, JSON?)]
    {
        let history = old?["status"]?["history"]
        return [("passedRuns", passed), ("failedRuns", failed), ("stoppedRuns", stopped)].map { name, more in
            (name, .integer(min(history?[name]?.integerValue ?? 0, Int64.max - 1) + Int64(more)))
        }
    }

    static func status(of probe: LitmusProbes.Probe, _ verdict: String, _ description: String) -> JSON {
        [
            "name": .string(probe.name), "type": .string(probe.type), "mode": .string(probe.mode),
            "status": ["verdict": .string(verdict), "description": .string(description.cut(to: 500))],
        ]
    }

    /// - Parameters:
    ///   - targets: Null for those of the last run to be forgotten; nil where there is nothing yet.
    private func document(
        phase: String, verdict: String, percentage: String, probes: [JSON], targets: JSON?,
        history: [(String, JSON?)], error: JSON?
    ) -> JSON {
        [
            "apiVersion": .string(Self.group), "kind": "ChaosResult",
            "metadata": [
                "name": .string(name), "namespace": .string(namespace),
                "labels": .object(labels.map { JSON.Member($0.0, .string($0.1)) }),
            ],
            "spec": .object([
                ("engine", engine.map(JSON.string)), ("experiment", .string(experiment)),
                ("instance", instance.map(JSON.string)),
            ]),
            "status": .object([
                (
                    "experimentStatus",
                    .object([
                        ("phase", .string(phase)), ("verdict", .string(verdict)),
                        ("probeSuccessPercentage", .string(percentage)), ("errorOutput", error),
                    ])
                ),
                ("probeStatuses", .array(probes)), ("history", .object(history + [("targets", targets)])),
            ]),
        ]
    }

    // MARK: Events

    /// About the result; that nobody can be told is no reason to end.
    func tell(_ reason: String, _ message: String, isWarning: Bool = false) {
        event("\(reason)\(podName ?? name)", reason, message, isWarning, kind: "ChaosResult", of: name, uid)
    }

    /// About the engine, where there is one.
    func tellEngine(_ reason: String, _ message: String, isWarning: Bool = false) {
        guard let engine else { return }
        event(
            "\(reason)\(experiment)\(engineUID)", reason, message, isWarning, kind: "ChaosEngine", of: engine, engineUID
        )
    }

    private func event(
        _ eventName: String, _ reason: String, _ message: String, _ isWarning: Bool, kind: String, of object: String,
        _ uid: String
    ) {
        let now = wallTimestamp(hasFraction: false)
        let event: JSON = [
            "apiVersion": "v1", "kind": "Event",
            "metadata": ["name": .string(eventName.lowercased()), "namespace": .string(namespace)],
            "involvedObject": [
                "apiVersion": .string(Self.group), "kind": .string(kind), "name": .string(object),
                "namespace": .string(namespace), "uid": .string(uid),
            ],
            "reason": .string(reason), "message": .string(message.cut(to: 900)),
            "type": .string(isWarning ? "Warning" : "Normal"), "source": ["component": .string(podName ?? "squall")],
            "firstTimestamp": .string(now), "lastTimestamp": .string(now), "count": 1,
        ]
        guard let events = try? APIPath("/api/v1", "namespaces", namespace, "events"),
            let one = try? events.appending(eventName.lowercased())
        else { return }
        do throws(KubernetesError) {
            _ = try client.create(event, at: events)
        } catch {
            guard error.status == 409, let old = try? client.get(one) else { return }
            let count = old["count"]?.integerValue ?? 1
            _ = try? client.merge(
                [
                    "count": .integer(count + 1), "lastTimestamp": .string(now),
                    "message": .string(message.cut(to: 900)),
                ],
                into: one)
        }
    }
}
