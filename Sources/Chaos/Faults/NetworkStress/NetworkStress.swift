package import ChaosModel
import LinuxSystem
package import Steps
import WorkerProtocol

/// Sends traffic out of the target.
package struct NetworkStress: Fault {
    package static let kind = "network-stress"
    package static let summary = "sends traffic from inside the target to a sink that is named"
    package static let explanation = """
        A process of the agent's own, without capabilities, runs in the target's cgroup and network namespace and sends \
        random bytes to one address and port, no faster than asked. It has sockets that are connected to the sink, and can \
        make no others. All containers of the pod share the namespace, so the traffic takes of the bandwidth of all of \
        them, of whatever lies on the way to the sink, and of the sink itself: name one that is yours. CPU time for sending \
        is the target's, so a target with little of it sends less than asked; the session says what was sent. The packets \
        pass what other network faults do to the target, and its network policies. Over UDP nobody need listen: packets \
        that are refused or lost on their way are not sent again. Over TCP the session begins when the sink has taken the \
        connections; what the sink sends is thrown away; and when a connection ends, the session does, with the reason. \
        Sinks that are refused: loopback and the target's own addresses, multicast, broadcast and reserved ones, \
        those where clouds tell machines about themselves, and whom faults on packets never hit either, as the node. A pod \
        on the node's own network is refused, and so is a container of Docker or Podman or a unit that shares its network \
        namespace with others; for a unit of systemd there, the traffic takes of the host's bandwidth: bound \
        its `rate` in the policy.
        """
    package static let reach = Reach.pod
    package static let needs: [NodeFeature] = [.workers]
    package static let parameters = [
        Parameter("sink", .endpoint, isRequired: true, meaning: "address and port to which the traffic is sent"),
        Parameter(
            "protocol", .choice(InternetTransport.allCases.map(\.rawValue)),
            standard: .string(InternetTransport.udp.rawValue), meaning: "over which it is sent"),
        Parameter(
            "rate", .rate(BitRate(NetworkLoad.rates.lowerBound)...BitRate(NetworkLoad.rates.upperBound)),
            standard: "10Mbit",
            meaning:
                "how much the sink is sent in a second, without headers, of which a UDP packet has 42 bytes over IPv4"),
        Parameter(
            "packetSize", .bytes(ByteCount(NetworkLoad.blockSizes.lowerBound)...largestPacket),
            meaning:
                "bytes that each UDP packet carries, 1400B unless told; one that does not fit the network is sent in "
                + "fragments; not with tcp, which cuts its packets itself"),
        Parameter(
            "connections", .integer(1...Int64(NetworkLoad.mostSockets)), standard: 1,
            meaning: "how many sockets send, each from a port of its own and with its share of the rate"),
    ]
    package static let examples = [
        FaultExample("10 Mbit/s more", ["sink": "10.1.2.3:5001"]),
        FaultExample(
            "many small packets",
            ["sink": "10.1.2.3:5001", "rate": "2Mbit", "packetSize": "64B", "connections": 4]),
    ]

    /// With its headers as large as a jumbo frame.
    private static let largestPacket = ByteCount(8972)
    private static let standardPacket = ByteCount(1400)
    /// How long a TCP socket is given the bytes of at once.
    private static let blockMilliseconds: Int64 = 5

    private let load: NetworkLoad

    package init(_ values: ParameterValues) throws(Problem) {
        let sink = values.endpoint("sink")
        if let refused = Self.refusedSinks.first(where: { $0.contains(sink) }) {
            throw Problem(
                .fieldInvalid, "\(sink) \(refused.reason)", field: "parameters.sink",
                hint: "name a host of your own that expects the traffic")
        }
        let transport = InternetTransport(rawValue: values.text("protocol")) ?? .udp
        let rate = values.rate("rate")
        let packet = values.optionalBytes("packetSize")
        if transport == .tcp, packet != nil {
            throw Problem(
                .fieldInvalid, "tcp cuts its packets itself", field: "parameters.packetSize",
                hint: "leave it out, or send over udp")
        }
        let sockets = values.integer("connections")
        let blockSize =
            switch transport {
            case .udp: packet ?? Self.standardPacket
            case .tcp: Self.block(at: rate, over: sockets)
            }
        let load = NetworkLoad(
            transport, to: sink, bitsPerSecond: rate.bitsPerSecond, blockSize: blockSize.value, sockets: Int(sockets))
        guard let load else { preconditionFailure("the ranges of the parameters are not those of a worker") }
        self.load = load
    }

    package var summary: String { "stress the network: a worker \(load.words)" }

    package func notes(on target: TargetObservation) -> [String] {
        ["\(load.sink), and what lies on the way there, gets this traffic: see that it is yours"]
            + (target.isOnHostNetwork ? ["the target is on the node's own network, which all of it passes"] : [])
    }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        try target.refuseWithoutNetwork()
        if target.isOnHostNetwork, target.facts.container != nil {
            throw Problem(
                .targetRefused, "the target's pod is on the node's own network: the traffic would be the whole node's",
                field: "target", hint: "choose a pod without hostNetwork")
        }
        return [.runWorker(.network(load))]
    }

    private static func block(at rate: BitRate, over sockets: Int64) -> ByteCount {
        let due = rate.bytesPerSecond / sockets * blockMilliseconds / 1000
        return ByteCount(min(max(due, 512), NetworkLoad.blockSizes.upperBound))
    }

    private struct RefusedSink {
        let network: String
        let reason: String

        func contains(_ sink: InternetAddress) -> Bool {
            IPNetwork(text: network)?.contains(IPNetwork(of: sink)) ?? false
        }
    }

    private static let refusedSinks = [
        RefusedSink(network: "0.0.0.0/8", reason: "is no host's address"),
        RefusedSink(network: "127.0.0.0/8", reason: "is loopback: nothing would leave the target"),
        RefusedSink(network: "169.254.0.0/16", reason: "is link-local, where clouds tell machines about themselves"),
        RefusedSink(network: "224.0.0.0/4", reason: "is multicast"),
        RefusedSink(network: "240.0.0.0/4", reason: "is broadcast, or reserved"),
        RefusedSink(network: "100.100.100.200", reason: "is where a cloud tells machines about themselves"),
        RefusedSink(network: "168.63.129.16", reason: "is where a cloud tells machines about themselves"),
        RefusedSink(network: "::/96", reason: "is loopback, or no host's address"),
        RefusedSink(network: "fe80::/10", reason: "is link-local"),
        RefusedSink(network: "ff00::/8", reason: "is multicast"),
        RefusedSink(network: "fd00:ec2::/32", reason: "is where a cloud tells machines about themselves"),
        RefusedSink(network: "fd20:ce::254", reason: "is where a cloud tells machines about themselves"),
    ]
}
