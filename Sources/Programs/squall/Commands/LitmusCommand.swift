import ArgumentParser
import ChaosModel
import ExperimentRunner
import Glibc
import KubernetesClient
import LinuxSystem
import Litmus
import Synchronization

struct LitmusCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "litmus",
        abstract: "Does what an experiment's program of LitmusChaos does, by the agents.",
        discussion: """
            Takes the same variables as litmus-go (TOTAL_CHAOS_DURATION, TARGETS, TARGET_PODS, PODS_AFFECTED_PERC and \
            those of each experiment), reads the ChaosEngine that CHAOSENGINE names, and keeps its ChaosResult. With \
            --engine it also reads from there what Litmus's operator and runner would have put into the environment, and \
            without --name carries out all experiments of that engine. docs/litmus.md says what differs.

            The exit code is 0 whatever the verdict is, as litmus-go's, and 1 for one that was aborted.

            Examples:
              squall litmus -name pod-cpu-hog --key shop.key.jwk --inventory fleet.yaml
              squall litmus --engine nginx-chaos --namespace shop --key shop.key.jwk --inventory fleet.yaml
            """)

    /// Where a Secret is expected when nothing is said: the key, an inventory, and what that names.
    private static let standardFolder = "/etc/squall/client"

    @Option(
        name: [.customLong("name"), .customLong("name", withSingleDash: true)],
        help: ArgumentHelp("The experiment, as pod-cpu-hog.", valueName: "experiment"),
        completion: .list(LitmusFault.names))
    var name: String?

    @Option(help: ArgumentHelp("The ChaosEngine. Without it, CHAOSENGINE.", valueName: "name"))
    var engine: String?

    @Option(help: ArgumentHelp("Of the ChaosEngine. Without it, CHAOS_NAMESPACE.", valueName: "namespace"))
    var namespace: String?

    @Option(
        help: ArgumentHelp(
            "The tenant's private key. Without it, SQUALL_KEY, or the only *.key.jwk in \(standardFolder).",
            valueName: "file"),
        completion: .file(extensions: ["jwk"]))
    var key: String?

    @Option(
        help: ArgumentHelp(
            "The agents. Without it, SQUALL_INVENTORY, or \(standardFolder)/inventory.yaml, or the one at --socket.",
            valueName: "file"),
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var inventory: String?

    @Option(
        help: ArgumentHelp(
            "How to reach the cluster. Without it, the pod's own account, or KUBECONFIG.", valueName: "file"),
        completion: .file())
    var kubeconfig: String?

    @OptionGroup(title: "Signing and connection") var signer: SignerOptions
    @OptionGroup(title: "Signing and connection") var connection: ConnectionOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let cluster = Cluster(kubeconfig: kubeconfig)
        do {
            let document = try engineDocument(of: cluster)
            let names = try experiments(of: document)
            let fleet = try fleet(cluster)
            let known = try names.map { given throws(Failure) in
                guard let name = LitmusFault.canonicalName(given) else {
                    throw Failure(
                        .invalid, "no experiment is called \(given)", field: "-name",
                        hint: LitmusFault.names.joined(separator: ", "))
                }
                return (given: given, name: name)
            }
            ExperimentRunCommand.raiseFileLimit()
            let stops = Mutex((current: StopSignal(), isInterrupted: false))
            Interruption.tell {
                stops.withLock { stops in
                    stops.isInterrupted = true
                    stops.current.stop(.interrupted)
                }
            }
            var verdicts: [JSON] = []
            for (given, name) in known {
                // What ends one is no reason not to begin the next, but for who interrupts this program.
                let stop = StopSignal()
                stops.withLock { stops in
                    stops.current = stop
                    if stops.isInterrupted { stop.stop(.interrupted) }
                }
                var variables = Self.variables
                variables["EXPERIMENT_NAME"] = variables["EXPERIMENT_NAME"] ?? given
                variables["CHAOS_NAMESPACE"] = namespace ?? variables["CHAOS_NAMESPACE"]
                let settings = LitmusSettings(
                    environment: variables,
                    engine: engine == nil ? [:] : try Self.variables(of: given, in: document, cluster))
                let run = try LitmusRun(
                    name, settings: settings, engine: document, cluster: cluster, fleet: fleet, stop: stop
                ) { offset, subject, words in
                    guard output.format == .table else { return }
                    try? output.line(Output.printable("\(ExperimentText.offset(offset))  \(subject): \(words)"))
                }
                switch try run.run() {
                case .aborted: return .notAsAsked
                case .over(let verdict): verdicts.append(["experiment": .string(given), "verdict": .string(verdict)])
                }
            }
            if output.format == .json { try output.document(["experiments": .array(verdicts)]) }
            return .success
        } catch let failure as Failure {
            throw failure
        } catch let error as KubernetesError {
            throw Failure(error.isForbidden ? .unauthorized : .unreachable, "the cluster: \(error)")
        } catch {
            throw Failure(.invalid, "\(error)")
        }
    }

    private static var variables: [String: String] {
        var variables: [String: String] = [:]
        var next = environ
        while let text = next.pointee {
            let variable = String(cString: text)
            if let equals = variable.firstIndex(of: "=") {
                variables[String(variable[..<equals])] = String(variable[variable.index(after: equals)...])
            }
            next += 1
        }
        return variables
    }

    private func engineDocument(of cluster: Cluster) throws -> JSON? {
        guard let name = engine ?? environmentVariable("CHAOSENGINE") else { return nil }
        let client = try cluster.client()
        let namespace = namespace ?? environmentVariable("CHAOS_NAMESPACE") ?? client.namespace
        return try client.get(
            APIPath("/apis/litmuschaos.io/v1alpha1", "namespaces", namespace, "chaosengines", name))
    }

    private func experiments(of engine: JSON?) throws(Failure) -> [String] {
        if let name { return [name] }
        let names = (engine?["spec"]?["experiments"]?.arrayValue ?? []).compactMap { $0["name"]?.stringValue }
        guard self.engine != nil, !names.isEmpty else {
            throw Failure(
                .invalid, "no experiment is named", field: "-name", hint: LitmusFault.names.joined(separator: ", "))
        }
        return names
    }

    /// What Litmus's runner puts into the environment: of the ChaosExperiment, and over that of the engine.
    private static func variables(
        of experiment: String, in engine: JSON?, _ cluster: Cluster
    ) throws -> [String: String] {
        let own = engine?["spec"]?["experiments"]?.arrayValue?.first { $0["name"]?.stringValue == experiment }
        let components = own?["spec"]?["components"]
        var variables = ["DEFAULT_HEALTH_CHECK": "\(engine?["spec"]?["defaultHealthCheck"]?.booleanValue ?? false)"]
        let definition: JSON?
        do throws(KubernetesError) {
            let namespace = engine?["metadata"]?["namespace"]?.stringValue ?? ""
            let client = try cluster.client()
            definition = try client.get(
                APIPath("/apis/litmuschaos.io/v1alpha1", "namespaces", namespace, "chaosexperiments", experiment))
        } catch {
            guard error.isNotFound else { throw error }
            definition = nil
        }
        let given = definition?["spec"]?["definition"]?["env"]?.arrayValue ?? []
        for variable in given + (components?["env"]?.arrayValue ?? []) {
            guard let name = variable["name"]?.stringValue else { continue }
            guard variable["valueFrom"] == nil else {
                throw Failure(
                    .invalid, "\(name) of \(experiment) has its value from elsewhere: give it in the environment")
            }
            variables[name] = variable["value"].map { $0.stringValue ?? $0.text } ?? ""
        }
        for (name, member) in [("STATUS_CHECK_DELAY", "delay"), ("STATUS_CHECK_TIMEOUT", "timeout")] {
            if let seconds = components?["statusCheckTimeouts"]?[member]?.integerValue {
                variables[name] = "\(seconds)"
            }
        }
        return variables
    }

    private func fleet(_ cluster: Cluster) throws(Failure) -> Fleet {
        let key = try keyFile
        if let file = inventory ?? environmentVariable("SQUALL_INVENTORY") ?? Self.standard("inventory.yaml") {
            return try FleetOptions.fleet(of: file, cluster) { agent throws(Failure) in
                try signer.signer(key: key, node: agent)
            }
        }
        let tenancy = Tenancy(gateway: connection.gateway, signer: try signer.signer(key: key, connection))
        return Fleet([Fleet.Agent(name: tenancy.node, client: tenancy.client)])
    }

    private static func standard(_ file: String) -> String? {
        let path = "\(standardFolder)/\(file)"
        return access(path, F_OK) == 0 ? path : nil
    }

    private var keyFile: String {
        get throws(Failure) {
            if let key = key ?? environmentVariable("SQUALL_KEY") { return key }
            let names = (try? TextFile.names(in: Self.standardFolder)) ?? []
            let keys = names.filter { $0.hasSuffix(SignerOptions.keyFileSuffix) }
            guard keys.count == 1 else {
                throw Failure(
                    .invalid, "whose key signs is not said", field: "--key",
                    hint: "give --key or SQUALL_KEY, or put one NAME.key.jwk into \(Self.standardFolder)")
            }
            return "\(Self.standardFolder)/\(keys[0])"
        }
    }
}
