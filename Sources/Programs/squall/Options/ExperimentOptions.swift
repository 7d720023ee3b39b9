import AgentClient
import ArgumentParser
import ChaosModel
import ExperimentModel
import ExperimentRunner
import HTTPClient
import LinuxSystem
import YAML

/// An experiment's file, and values for its inputs.
struct ExperimentOptions: ParsableArguments {
    @Argument(help: "The experiment, a YAML or JSON file.", completion: .file(extensions: ["yaml", "yml", "json"]))
    var file: String

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("A value for an input: a text, or JSON. May be given for each.", valueName: "name=value"))
    var settings: [String] = []

    var experiment: Experiment {
        get throws(Failure) {
            let bytes = try Self.bytes(of: file)
            do throws(YAMLError) {
                return try Experiment(yaml: bytes)
            } catch {
                throw Failure(
                    .invalid, "\(file): \(error)", hint: "'squall experiment schema' prints what there may be")
            }
        }
    }

    static func bytes(of file: String) throws(Failure) -> [UInt8] {
        do throws(SystemCallError) {
            return Array(try TextFile.read(file, atMost: 64 << 20).utf8)
        } catch {
            throw Failure(.invalid, "cannot read \(file): \(error.errno)")
        }
    }

    func inputs(of experiment: Experiment) throws(Failure) -> JSON {
        var given: [String: JSON] = [:]
        for setting in settings {
            guard let equals = setting.firstIndex(of: "="), equals != setting.startIndex else {
                throw Failure(.invalid, "an input is set by NAME=VALUE, not \"\(setting)\"", field: "--set")
            }
            let name = String(setting[..<equals])
            guard experiment.inputs.contains(where: { $0.name == name }) else {
                let names = experiment.inputs.map(\.name)
                throw Failure(
                    .invalid, "the experiment has no input \(name)", field: "--set",
                    hint: names.isEmpty ? "it has none" : "it has \(names.joined(separator: ", "))")
            }
            let text = String(setting[setting.index(after: equals)...])
            let standard = experiment.inputs.first { $0.name == name }?.standard
            guard given.updateValue(Self.value(text, insteadOf: standard), forKey: name) == nil else {
                throw Failure(.invalid, "\(name) is set twice", field: "--set")
            }
        }
        var members: [JSON.Member] = []
        for input in experiment.inputs {
            guard let value = given[input.name] ?? input.standard else {
                throw Failure(
                    .invalid, "the input \(input.name) has no value", field: "--set",
                    hint: input.description.map { "\(input.name): \($0)" } ?? "give --set \(input.name)=VALUE")
            }
            members.append(JSON.Member(input.name, value))
        }
        let inputs = JSON.object(members)
        do throws(TemplateError) {
            try experiment.check(inputs: inputs)
        } catch {
            throw Failure(.invalid, "with these inputs: \(error)", field: "--set")
        }
        return inputs
    }

    /// JSON where it is some; but what looks like a number and is written otherwise, as a version 1.10, is a text, unless its
    /// default is a number.
    private static func value(_ text: String, insteadOf standard: JSON?) -> JSON {
        guard let json = try? JSON(parsing: text) else { return .string(text) }
        return json.doubleValue == nil || json.text == text || standard?.doubleValue != nil ? json : .string(text)
    }
}

/// The agents that an experiment speaks to, and as whom.
struct FleetOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A file of agents, each with its socket or address. Without it, the one at --socket.", valueName: "file"),
        completion: .file(extensions: ["yaml", "yml", "json"]))
    var inventory: String?

    @Option(
        help: ArgumentHelp(
            "How to reach the cluster, where an experiment needs it. Else by the pod's own account, or KUBECONFIG.",
            valueName: "file"),
        completion: .file())
    var kubeconfig: String?

    @OptionGroup var tenant: TenantOptions

    var cluster: Cluster { Cluster(kubeconfig: kubeconfig) }

    private static let timeout = Duration.seconds(30)

    var fleet: Fleet {
        get throws(Failure) {
            guard let inventory else {
                let tenancy = try tenant.tenancy
                return Fleet([Fleet.Agent(name: tenancy.node, client: tenancy.client)])
            }
            return try Self.fleet(of: inventory, cluster) { agent throws(Failure) in
                try tenant.signer.signer(key: tenant.key, node: agent)
            }
        }
    }

    /// - Parameter signer: Who signs for an agent of this name.
    static func fleet(
        of file: String, _ cluster: Cluster, signer: (String) throws(Failure) -> TokenSigner
    ) throws(Failure) -> Fleet {
        let document: Inventory
        do throws(YAMLError) {
            document = try Inventory(yaml: try Self.bytes(file))
        } catch {
            throw Failure(.invalid, "\(file): \(error)", field: "--inventory")
        }
        var agents = document.agents
        if let pods = document.pods {
            do {
                let found = try cluster.agents(pods)
                agents += found.filter { one in !agents.contains { $0.name == one.name } }
            } catch {
                throw Failure(.unreachable, "the agents of the cluster: \(error)", field: "--inventory")
            }
        }
        var fleet: [Fleet.Agent] = []
        for agent in agents {
            let gateway = GatewayClient(try Self.endpoint(agent), timeout: Self.timeout)
            fleet.append(
                Fleet.Agent(
                    name: agent.name, labels: agent.labels,
                    client: TenantClient(gateway: gateway, signer: try signer(agent.name))))
        }
        return Fleet(fleet)
    }

    private static func bytes(_ file: String) throws(YAMLError) -> [UInt8] {
        do throws(SystemCallError) {
            return Array(try TextFile.read(file, atMost: 16 << 20).utf8)
        } catch {
            throw YAMLError("it cannot be read: \(error.errno)", line: 1)
        }
    }

    private static func endpoint(_ agent: Inventory.Agent) throws(Failure) -> AgentEndpoint {
        switch agent.endpoint {
        case .socket(let path): return .socket(path)
        case .tls(let tls):
            guard let (host, port) = HTTPURL.hostAndPort(tls.address) else {
                throw Failure(
                    .invalid, "the address of agent \(agent.name) is \(tls.address)", field: "--inventory",
                    hint: "HOST:PORT")
            }
            var trust = TLSTrust(authorities: tls.authorities, serverName: tls.serverName)
            trust.certificate = tls.certificate
            trust.key = tls.key
            return .tls(host: host, port: port, trust)
        }
    }
}
