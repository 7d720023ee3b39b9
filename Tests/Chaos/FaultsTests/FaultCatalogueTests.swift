import ChaosModel
import Faults
import LinuxSystem
import Steps
import Testing
import WorkerProtocol

private let pod = TargetObservation(
    facts: TargetFacts(
        container: .init(id: "4f6b1c2d3e4f5a6b", name: "web", pod: "shop-0", namespace: "shop", podUID: "uid-1"),
        process: .init(id: 7, startTime: 8), network: .init(inode: 1, cookie: 2), cgroup: .init(path: "/pod", id: 3)),
    cpuCount: 4, isOnHostNetwork: false, memoryLimit: ByteCount(256 << 20), diesTogether: false)

private let service = TargetObservation(
    facts: TargetFacts(
        container: nil, unit: UnitName("nginx.service"), process: .init(id: 7, startTime: 8), network: nil,
        cgroup: .init(path: "/system.slice/nginx.service", id: 3)),
    cpuCount: 4, isOnHostNetwork: true, memoryLimit: nil, diesTogether: false)

private let host = TargetObservation(
    facts: TargetFacts(
        container: nil, process: .init(id: 1, startTime: 2), network: .init(inode: 1, cookie: 2),
        cgroup: .init(path: "/", id: 1)),
    cpuCount: 4, isOnHostNetwork: true, memoryLimit: nil,
    nodeMemory: NodeMemory(total: ByteCount(4 << 30), available: ByteCount(3072 << 20)), diesTogether: false)

/// What every fault of this reach can be planned for.
private func target(within reach: Reach) -> TargetObservation {
    switch reach {
    case .service: service
    case .host: host
    case .container, .pod, .node: pod
    }
}

struct FaultCatalogueTests {
    @Test func `every fault has a name of its own, in lower case with dashes`() {
        let kinds = FaultCatalogue.all.map { $0.kind }
        #expect(Set(kinds).count == kinds.count)
        for kind in kinds {
            #expect(!kind.isEmpty && kind.allSatisfy { $0.isLowercase && $0.isASCII || $0 == "-" })
        }
    }

    @Test(arguments: FaultCatalogue.all.map { $0.kind })
    func `every example of a fault can be planned`(kind: String) throws {
        let type = try FaultCatalogue.fault(of: kind)
        #expect(!type.examples.isEmpty)
        for example in type.examples {
            let (fault, parameters) = try FaultCatalogue.fault(of: kind, parameters: example.parameters)
            #expect(!(try fault.plan(for: target(within: type.reach)).isEmpty))
            #expect(!fault.summary.isEmpty)
            // In the order of the fault's list, without those that nobody gave and that have no standard value.
            let named = type.parameters.filter { $0.standard != nil || example.parameters[$0.name] != nil }
            #expect(parameters.members?.map(\.name) == named.map(\.name))
        }
    }

    @Test(arguments: FaultCatalogue.all.map { $0.kind })
    func `the standard values of a fault are within its own ranges`(kind: String) throws {
        let type = try FaultCatalogue.fault(of: kind)
        // Those that have none, from an example.
        let required = type.parameters.filter(\.isRequired).compactMap { parameter in
            type.examples[0].parameters[parameter.name].map { JSON.Member(parameter.name, $0) }
        }
        _ = try FaultCatalogue.fault(of: kind, parameters: .object(required))
    }

    @Test(
        arguments: [
            ("network-latency", ["latency": "0ms"], ProblemCode.fieldInvalid, "parameters.latency"),
            ("network-latency", ["latency": "61s"], .fieldInvalid, "parameters.latency"),
            ("network-latency", ["latency": "100"], .fieldInvalid, "parameters.latency"),
            ("network-latency", ["latency": 100], .fieldInvalid, "parameters.latency"),
            ("network-latency", ["latency": "-1s"], .fieldInvalid, "parameters.latency"),
            ("network-latency", ["latency": "10ms", "jitter": "20ms"], .fieldInvalid, "parameters.jitter"),
            ("network-latency", ["correlation": 10], .fieldInvalid, "parameters.correlation"),
            ("network-latency", ["correlation": 101, "jitter": "1ms"], .fieldInvalid, "parameters.correlation"),
            ("network-latency", ["latency": "9s", "jitter": "3s"], .fieldInvalid, "parameters.jitter"),
            ("network-latency", ["distribution": "pareto"], .fieldInvalid, "parameters.distribution"),
            ("network-latency", ["distribution": "normal"], .fieldInvalid, "parameters.jitter"),
            (
                "network-latency", ["latency": "1s", "jitter": "501ms", "distribution": "normal"], .fieldInvalid,
                "parameters.jitter"
            ),
            (
                "network-latency", ["jitter": "1ms", "distribution": "normal", "correlation": 1], .fieldInvalid,
                "parameters.correlation"
            ),
            ("network-reorder", [:], .fieldMissing, "parameters.percent"),
            ("network-reorder", ["percent": 100], .fieldInvalid, "parameters.percent"),
            ("network-reorder", ["percent": 10, "latency": "2.5s"], .fieldInvalid, "parameters.latency"),
            ("network-reorder", ["percent": 10, "gap": 5], .fieldUnknown, "parameters.gap"),
            ("network-loss", ["percent": 5, "burstLength": 1], .fieldInvalid, "parameters.burstLength"),
            ("network-loss", ["percent": 90, "burstLength": 2], .fieldInvalid, "parameters.percent"),
            ("network-loss", ["percent": 66.7, "burstLength": 2], .fieldInvalid, "parameters.percent"),
            ("network-loss", ["percent": 0.0001, "burstLength": 10000], .fieldInvalid, "parameters.percent"),
            ("network-loss", ["percent": 5, "lossInBurst": 50], .fieldInvalid, "parameters.lossInBurst"),
            ("network-loss", ["percent": 5, "lossBetweenBursts": 1], .fieldInvalid, "parameters.lossBetweenBursts"),
            (
                "network-loss", ["percent": 5, "burstLength": 9, "lossInBurst": 5], .fieldInvalid, "parameters.percent"
            ),
            (
                "network-loss", ["percent": 5, "burstLength": 9, "lossBetweenBursts": 5], .fieldInvalid,
                "parameters.percent"
            ),
            ("network-loss", ["percent": 100, "burstLength": 9], .fieldInvalid, "parameters.percent"),
            (
                "network-loss", ["percent": 5, "burstLength": 9, "correlation": 5], .fieldInvalid,
                "parameters.correlation"
            ),
            ("network-latency", ["delay": "1s"], .fieldUnknown, "parameters.delay"),
            ("clock-skew", [:], .fieldMissing, "parameters.offset"),
            ("clock-skew", ["offset": "0s"], .fieldInvalid, "parameters.offset"),
            ("clock-skew", ["offset": "-9ms"], .fieldInvalid, "parameters.offset"),
            ("clock-skew", ["offset": "8761h"], .fieldInvalid, "parameters.offset"),
            ("clock-skew", ["offset": "-8761h"], .fieldInvalid, "parameters.offset"),
            ("clock-skew", ["offset": "--1h"], .fieldInvalid, "parameters.offset"),
            ("clock-skew", ["offset": 3600], .fieldInvalid, "parameters.offset"),
            ("host-reboot", ["delay": "0s"], .fieldInvalid, "parameters.delay"),
            ("host-power-off", ["delay": "2h"], .fieldInvalid, "parameters.delay"),
            ("cpu-throttle", [:], .fieldMissing, "parameters.percent"),
            ("cpu-throttle", ["percent": 100], .fieldInvalid, "parameters.percent"),
            ("cpu-throttle", ["percent": 0.5], .fieldInvalid, "parameters.percent"),
            ("network-loss", [:], .fieldMissing, "parameters.percent"),
            ("network-loss", ["percent": 0], .fieldInvalid, "parameters.percent"),
            ("network-loss", ["percent": 100.1], .fieldInvalid, "parameters.percent"),
            ("network-loss", ["percent": "5%"], .fieldInvalid, "parameters.percent"),
            ("network-loss", ["percent": 5, "correlation": 101], .fieldInvalid, "parameters.correlation"),
            ("network-corruption", ["correlation": 5], .fieldMissing, "parameters.percent"),
            ("network-duplication", ["percent": 5, "gap": 1], .fieldUnknown, "parameters.gap"),
            ("network-rate-limit", [:], .fieldMissing, "parameters.rate"),
            ("network-rate-limit", ["rate": "1Mbps"], .fieldInvalid, "parameters.rate"),
            ("network-rate-limit", ["rate": 1_000_000], .fieldInvalid, "parameters.rate"),
            ("network-rate-limit", ["rate": "7kbit"], .fieldInvalid, "parameters.rate"),
            ("network-rate-limit", ["rate": "101Gbit"], .fieldInvalid, "parameters.rate"),
            ("network-loss", ["percent": 5, "destinationIPs": []], .fieldInvalid, "parameters.destinationIPs"),
            ("network-loss", ["percent": 5, "destinationIPs": "10.0.0.1"], .fieldInvalid, "parameters.destinationIPs"),
            ("network-partition", ["destinationIPs": ["shop.example"]], .fieldInvalid, "parameters.destinationIPs"),
            ("network-partition", ["destinationIPs": ["10.0.0.1/8"]], .fieldInvalid, "parameters.destinationIPs"),
            ("network-partition", ["destinationPorts": ["0"]], .fieldInvalid, "parameters.destinationPorts"),
            ("network-partition", ["destinationPorts": [443]], .fieldInvalid, "parameters.destinationPorts"),
            ("network-partition", ["sourcePorts": ["90-80"]], .fieldInvalid, "parameters.sourcePorts"),
            ("network-partition", ["interfaces": []], .fieldInvalid, "parameters.interfaces"),
            ("network-partition", ["interfaces": ["eth0/1"]], .fieldInvalid, "parameters.interfaces"),
            ("network-partition", ["interfaces": ["a-name-too-long-"]], .fieldInvalid, "parameters.interfaces"),
            ("network-partition", ["direction": "sideways"], .fieldInvalid, "parameters.direction"),
            ("network-partition", ["protocol": "sctp"], .fieldInvalid, "parameters.protocol"),
            (
                "network-partition", ["protocol": "icmp", "destinationPorts": ["1"]], .fieldInvalid,
                "parameters.protocol"
            ),
            (
                "network-partition",
                [
                    "destinationIPs": ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"],
                    "destinationPorts": ["1", "3", "5", "7", "9", "11", "2-65535"],
                ], .fieldInvalid, "parameters"
            ),
            ("network-stress", [:], .fieldMissing, "parameters.sink"),
            ("network-stress", ["sink": "10.1.2.3"], .fieldInvalid, "parameters.sink"),
            ("network-stress", ["sink": ["10.1.2.3:5001"]], .fieldInvalid, "parameters.sink"),
            ("network-stress", ["sink": "shop.example:5001"], .fieldInvalid, "parameters.sink"),
            ("network-stress", ["sink": "10.1.2.3:0"], .fieldInvalid, "parameters.sink"),
            ("network-stress", ["sink": "fd00::1:5001"], .fieldInvalid, "parameters.sink"),
            ("network-stress", ["sink": "[::ffff:10.1.2.3]:5001"], .fieldInvalid, "parameters.sink"),
            ("network-stress", ["sink": "10.1.2.3:1", "rate": "7kbit"], .fieldInvalid, "parameters.rate"),
            ("network-stress", ["sink": "10.1.2.3:1", "rate": "11Gbit"], .fieldInvalid, "parameters.rate"),
            ("network-stress", ["sink": "10.1.2.3:1", "packetSize": "63B"], .fieldInvalid, "parameters.packetSize"),
            ("network-stress", ["sink": "10.1.2.3:1", "packetSize": "9kB"], .fieldInvalid, "parameters.packetSize"),
            (
                "network-stress", ["sink": "10.1.2.3:1", "packetSize": "1400B", "protocol": "tcp"], .fieldInvalid,
                "parameters.packetSize"
            ),
            ("network-stress", ["sink": "10.1.2.3:1", "protocol": "sctp"], .fieldInvalid, "parameters.protocol"),
            ("network-stress", ["sink": "10.1.2.3:1", "connections": 0], .fieldInvalid, "parameters.connections"),
            ("network-stress", ["sink": "10.1.2.3:1", "connections": 9], .fieldInvalid, "parameters.connections"),
            ("cpu-stress", ["load": 0], .fieldInvalid, "parameters.load"),
            ("cpu-stress", ["load": 100.5], .fieldInvalid, "parameters.load"),
            ("cpu-stress", ["workers": -1], .fieldInvalid, "parameters.workers"),
            ("cpu-stress", ["workers": 1025], .fieldInvalid, "parameters.workers"),
            ("cpu-stress", ["workers": 1.5], .fieldInvalid, "parameters.workers"),
            ("memory-stress", ["size": "1KiB"], .fieldInvalid, "parameters.size"),
            ("memory-stress", ["size": "64"], .fieldInvalid, "parameters.size"),
            ("memory-stress", ["size": 64], .fieldInvalid, "parameters.size"),
            ("memory-stress", ["percent": 0], .fieldInvalid, "parameters.percent"),
            ("memory-stress", ["percent": 101], .fieldInvalid, "parameters.percent"),
            ("memory-stress", ["size": "64MiB", "percent": 10], .fieldInvalid, "parameters.percent"),
            ("memory-stress", ["ramp": "3h"], .fieldInvalid, "parameters.ramp"),
            ("memory-stress", ["oomScoreAdj": -1], .fieldInvalid, "parameters.oomScoreAdj"),
            ("memory-stress", ["oomScoreAdj": 1001], .fieldInvalid, "parameters.oomScoreAdj"),
            ("memory-stress", ["kind": "shared"], .fieldInvalid, "parameters.kind"),
            ("memory-stress", ["path": "/tmp"], .fieldInvalid, "parameters.path"),
            ("memory-stress", ["reserve": 10, "kind": "anonymous"], .fieldInvalid, "parameters.reserve"),
            ("memory-stress", ["kind": "page-cache", "oomScoreAdj": 0], .fieldInvalid, "parameters.oomScoreAdj"),
            ("memory-stress", ["kind": "page-cache", "path": "tmp"], .fieldInvalid, "parameters.path"),
            ("memory-stress", ["kind": "page-cache", "reserve": 0], .fieldInvalid, "parameters.reserve"),
            ("disk-fill", ["path": "tmp"], .fieldInvalid, "parameters.path"),
            ("disk-fill", ["path": "/tmp/../etc"], .fieldInvalid, "parameters.path"),
            ("disk-fill", ["path": "/a\u{0}b"], .fieldInvalid, "parameters.path"),
            ("disk-fill", ["size": "1B"], .fieldInvalid, "parameters.size"),
            ("disk-fill", ["size": "1MiB", "percent": 5], .fieldInvalid, "parameters.percent"),
            ("disk-fill", ["percent": 0], .fieldInvalid, "parameters.percent"),
            ("disk-fill", ["of": "everything", "percent": 5], .fieldInvalid, "parameters.of"),
            ("disk-fill", ["of": "volume", "percent": 5], .fieldMissing, "parameters.limit"),
            ("disk-fill", ["of": "ephemeral-limit", "size": "1MiB"], .fieldInvalid, "parameters.percent"),
            ("disk-fill", ["percent": 5, "limit": "1GiB"], .fieldInvalid, "parameters.limit"),
            ("disk-fill", ["limit": "1GiB"], .fieldInvalid, "parameters.percent"),
            ("disk-fill", ["reserve": 0], .fieldInvalid, "parameters.reserve"),
            ("disk-fill", ["visible": "yes"], .fieldInvalid, "parameters.visible"),
            ("memory-squeeze", ["size": "1KiB"], .fieldInvalid, "parameters.size"),
            ("memory-squeeze", ["percent": 100], .fieldInvalid, "parameters.percent"),
            ("memory-squeeze", ["size": "1MiB", "percent": 10], .fieldInvalid, "parameters.percent"),
            ("container-pause", ["signal": "STOP"], .fieldUnknown, "parameters.signal"),
            ("container-kill", ["gracePeriod": "301s"], .fieldInvalid, "parameters.gracePeriod"),
            ("container-kill", ["gracePeriod": "1.5s"], .fieldInvalid, "parameters.gracePeriod"),
            ("container-kill", ["gracePeriod": "-1s"], .fieldInvalid, "parameters.gracePeriod"),
            ("container-kill", ["gracePeriod": 30], .fieldInvalid, "parameters.gracePeriod"),
            ("container-kill", ["signal": "KILL"], .fieldUnknown, "parameters.signal"),
            ("process-signal", ["signal": "SIGHUP"], .fieldInvalid, "parameters.signal"),
            ("process-signal", ["signal": 9], .fieldInvalid, "parameters.signal"),
            ("process-signal", ["names": []], .fieldInvalid, "parameters.names"),
            ("process-signal", ["names": ["a name of more"]], .fieldInvalid, "parameters.names"),
            ("cpu-stress", ["base": "cpu"], .fieldInvalid, "parameters.base"),
            ("cpu-stress", ["ramp": "3h"], .fieldInvalid, "parameters.ramp"),
            ("io-stress", ["path": "tmp"], .fieldInvalid, "parameters.path"),
            ("io-stress", ["blockSize": "5000B"], .fieldInvalid, "parameters.blockSize"),
            ("io-stress", ["blockSize": "2MiB"], .fieldInvalid, "parameters.blockSize"),
            ("io-stress", ["blockSize": "2MiB", "size": "1MiB"], .fieldInvalid, "parameters.blockSize"),
            ("io-stress", ["readPercent": 101], .fieldInvalid, "parameters.readPercent"),
            ("io-stress", ["workers": 17], .fieldInvalid, "parameters.workers"),
            ("io-stress", ["direct": "no"], .fieldInvalid, "parameters.direct"),
            ("io-throttle", ["readBytesPerSec": "1KiB"], .fieldInvalid, "parameters.readBytesPerSec"),
            ("io-throttle", ["writeBytesPerSec": 1000], .fieldInvalid, "parameters.writeBytesPerSec"),
            ("io-throttle", ["readOpsPerSec": 9], .fieldInvalid, "parameters.readOpsPerSec"),
            ("io-throttle", ["writeOpsPerSec": "many"], .fieldInvalid, "parameters.writeOpsPerSec"),
            ("earthquake", [:], .faultUnknown, "fault"),
        ] as [(String, JSON, ProblemCode, String)])
    func `a bad parameter is named`(kind: String, parameters: JSON, code: ProblemCode, field: String) throws {
        let problem = try #require(throws: Problem.self) {
            try FaultCatalogue.fault(of: kind, parameters: parameters)
        }
        #expect(problem.code == code)
        #expect(problem.field == field)
    }

    @Test(arguments: FaultCatalogue.all.map { $0.kind })
    func `all of the host can have some, and the others say so`(kind: String) throws {
        let type = try FaultCatalogue.fault(of: kind)
        for example in type.examples {
            let (fault, _) = try FaultCatalogue.fault(of: kind, parameters: example.parameters)
            if type.canHitHost {
                // Where it asks for a share of a limit, it is told that there is none.
                guard example.parameters["percent"] == nil || kind != "memory-stress" else { continue }
                #expect(!(try fault.steps(for: host).isEmpty))
                #expect(fault.reach(on: host) == (type.reach == .host ? .host : .node))
            } else {
                let problem = try #require(throws: Problem.self) { try fault.steps(for: host) }
                #expect((problem.code, problem.field) == (.targetRefused, "target"))
                #expect(problem.message == "\(kind) hits a part of the host, and never all of it")
            }
        }
        let some = FaultCatalogue.all.filter { $0.canHitHost }.map { $0.kind }
        #expect(
            some == [
                "cpu-stress", "memory-stress", "disk-fill", "io-stress", "network-latency", "network-loss",
                "network-partition", "network-corruption", "network-duplication", "network-reorder",
                "network-rate-limit", "clock-skew", "host-reboot", "host-power-off",
            ])
    }

    @Test(
        arguments: [
            ("cpu-stress", ["workers": 5], "parameters.workers"),
            ("memory-stress", ["size": "64MiB", "oomScoreAdj": 0], "parameters.oomScoreAdj"),
            ("memory-stress", ["percent": 50], "parameters.percent"),
            ("memory-stress", ["percent": 95, "of": "node"], "parameters.percent"),
            // A tenth of 4 GiB is more than a quarter of one.
            ("memory-stress", ["size": "2663MiB"], "parameters.size"),
        ] as [(String, JSON, String)])
    func `a reserve of the host stays`(kind: String, parameters: JSON, field: String) throws {
        let (fault, _) = try FaultCatalogue.fault(of: kind, parameters: parameters)
        let problem = try #require(throws: Problem.self) { try fault.steps(for: host) }
        #expect((problem.code, problem.field) == (.fieldInvalid, field))
        #expect(NodeMemory(total: ByteCount(1 << 30), available: ByteCount(0)).hostReserve == ByteCount(256 << 20))
        let (most, _) = try FaultCatalogue.fault(of: "memory-stress", parameters: ["size": "2662MiB"])
        #expect(try most.steps(for: host).count == 1)
    }

    @Test func `of all of the host, packets both ways are hit, and nobody's in particular`() throws {
        for direction in ["egress", "ingress", "both"] {
            let (fault, _) = try FaultCatalogue.fault(
                of: "network-latency", parameters: ["direction": .string(direction), "interfaces": ["eth1"]])
            guard case .shapeTraffic(let layer) = try fault.steps(for: host).first else {
                Issue.record("no layer")
                return
            }
            #expect(layer.direction.rawValue == direction)
            #expect(layer.boxes.allSatisfy { $0.cgroup == nil && $0.interface == "eth1" })
            #expect(fault.notes(on: host).contains { $0.contains("containers") })
        }
    }

    @Test(arguments: FaultCatalogue.all.filter { $0.reach == .pod }.map { $0.kind })
    func `on the node's own network they hit what the target's cgroup sends, and say so`(kind: String) throws {
        let onHost = TargetObservation(
            facts: pod.facts, cpuCount: 4, isOnHostNetwork: true, memoryLimit: nil, diesTogether: false)
        for example in try FaultCatalogue.fault(of: kind).examples {
            let (fault, _) = try FaultCatalogue.fault(of: kind, parameters: example.parameters)
            #expect(fault.notes(on: onHost).contains { $0.contains("the node's own network") })
            guard let traffic = fault as? any TrafficFault else {
                // Of what it sends itself, and so would the whole node.
                let problem = try #require(throws: Problem.self) { try fault.plan(for: onHost) }
                #expect(problem.code == .targetRefused)
                continue
            }
            guard traffic.packets.direction == .egress else {
                let problem = try #require(throws: Problem.self) { try fault.plan(for: onHost) }
                #expect((problem.code, problem.field) == (.fieldInvalid, "parameters.direction"))
                continue
            }
            for step in try fault.plan(for: onHost) {
                guard case .shapeTraffic(let layer) = step else { continue }
                #expect(layer.boxes.allSatisfy { $0.cgroup == pod.facts.cgroup })
            }
            for step in try fault.plan(for: pod) {
                guard case .shapeTraffic(let layer) = step else { continue }
                #expect(layer.boxes.allSatisfy { $0.cgroup == nil })
            }
        }
    }

    @Test(
        arguments: [
            (
                ["destinationIPs": ["10.1.0.0/16", "fd00::/8"], "destinationPorts": ["443", "80-82"]],
                "lose all outgoing packets (to 10.1.0.0/16, fd00::/8; to port 443, 80-82)",
                [
                    "ipv4 tcp to 10.1.0.0/16 port 443", "ipv4 tcp to 10.1.0.0/16 port 80-81",
                    "ipv4 tcp to 10.1.0.0/16 port 82", "ipv4 udp to 10.1.0.0/16 port 443",
                    "ipv4 udp to 10.1.0.0/16 port 80-81", "ipv4 udp to 10.1.0.0/16 port 82",
                    "ipv6 tcp to fd00::/8 port 443", "ipv6 tcp to fd00::/8 port 80-81", "ipv6 tcp to fd00::/8 port 82",
                    "ipv6 udp to fd00::/8 port 443", "ipv6 udp to fd00::/8 port 80-81", "ipv6 udp to fd00::/8 port 82",
                ]
            ),
            (
                ["destinationIPs": ["10.1.2.3"], "protocol": "icmp"], "lose all outgoing packets (icmp; to 10.1.2.3)",
                ["ipv4 icmp to 10.1.2.3"]
            ),
            (
                ["sourcePorts": ["80"], "protocol": "tcp"], "lose all outgoing packets (tcp; from port 80)",
                ["ipv4 tcp from port 80", "ipv6 tcp from port 80"]
            ),
            (
                ["direction": "ingress", "destinationIPs": ["10.1.2.3"], "sourcePorts": ["80"], "protocol": "tcp"],
                "lose all incoming packets (tcp; from 10.1.2.3; to port 80)", ["ipv4 tcp to port 80 from 10.1.2.3"]
            ),
            (
                ["direction": "both", "destinationPorts": ["53"], "protocol": "udp"],
                "lose all packets both ways (udp; with port 53)",
                ["ipv4 udp from port 53", "ipv4 udp to port 53", "ipv6 udp from port 53", "ipv6 udp to port 53"]
            ),
            (
                ["interfaces": ["eth0", "eth1"], "protocol": "icmp", "destinationIPs": ["10.0.0.0/8"]],
                "lose all outgoing packets (icmp; to 10.0.0.0/8; on eth0, eth1)",
                ["ipv4 icmp to 10.0.0.0/8 on eth0", "ipv4 icmp to 10.0.0.0/8 on eth1"]
            ),
            (["destinationIPs": ["0.0.0.0/0"]], "lose all outgoing packets (to 0.0.0.0/0)", ["ipv4"]),
            // Of hosts no address is known yet.
            (["destinationHosts": ["DB.shop", "api"]], "lose all outgoing packets (to api, db.shop)", []),
            (
                ["destinationHosts": ["db"], "destinationIPs": ["10.1.2.3"], "protocol": "tcp"],
                "lose all outgoing packets (tcp; to 10.1.2.3, db)", ["ipv4 tcp to 10.1.2.3"]
            ),
            ([:], "lose all outgoing packets", ["ipv4", "ipv6"]),
        ] as [(JSON, String, [String])])
    func `a network fault is about the packets that are named`(
        parameters: JSON, summary: String, boxes: [String]
    ) throws {
        let (fault, _) = try FaultCatalogue.fault(of: "network-partition", parameters: parameters)
        #expect(fault.summary == summary)
        guard case .shapeTraffic(let layer) = try fault.plan(for: pod).first else {
            Issue.record("another step")
            return
        }
        #expect(layer.boxes.map(\.description).sorted() == boxes)
    }

    @Test(arguments: [
        "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "169.254.169.254", "169.254.0.1", "224.0.0.1",
        "239.255.255.255", "255.255.255.255", "240.0.0.1", "100.100.100.200", "168.63.129.16", "[::]", "[::1]",
        "[::127.0.0.1]", "[fe80::1]", "[febf::1]", "[ff02::1]", "[fd00:ec2::254]", "[fd20:ce::254]",
    ])
    func `nothing is sent to nobody, to everybody, or to a cloud's own addresses`(address: String) throws {
        let problem = try #require(throws: Problem.self) {
            try FaultCatalogue.fault(of: "network-stress", parameters: ["sink": .string("\(address):80")])
        }
        #expect(problem.code == .fieldInvalid && problem.field == "parameters.sink")
        // By what it is, and not because it could not be read.
        #expect(problem.message.hasPrefix("\(address):80 is "))
    }

    @Test(
        arguments: [
            (["sink": "10.1.2.3:5001"], InternetTransport.udp, 10_000_000, 1400, 1),
            (["sink": "[fd00::1]:1", "rate": "8kbit", "packetSize": "64B", "connections": 8], .udp, 8000, 64, 8),
            (["sink": "1.0.0.1:65535", "rate": "10Gbit", "protocol": "tcp"], .tcp, 10_000_000_000, 65536, 1),
            (["sink": "126.0.0.1:1", "rate": "8kbit", "protocol": "tcp"], .tcp, 8000, 512, 1),
            (["sink": "223.0.0.1:1", "protocol": "tcp", "connections": 2], .tcp, 10_000_000, 3125, 2),
        ] as [(JSON, InternetTransport, Int64, Int64, Int)])
    func `network stress is a worker with sockets`(
        parameters: JSON, transport: InternetTransport, rate: Int64, blockSize: Int64, sockets: Int
    ) throws {
        let (fault, _) = try FaultCatalogue.fault(of: "network-stress", parameters: parameters)
        let sink = try #require(parameters["sink"]?.stringValue.flatMap(InternetAddress.init(text:)))
        let load = NetworkLoad(transport, to: sink, bitsPerSecond: rate, blockSize: blockSize, sockets: sockets)
        #expect(try fault.plan(for: pod) == [.runWorker(.network(try #require(load)))])
        #expect(fault.summary.contains("\(sink)"))
    }

    @Test func `container-kill stops the container that the target is, with the time that it is given`() throws {
        let (atOnce, _) = try FaultCatalogue.fault(of: "container-kill", parameters: [:])
        #expect(
            try atOnce.plan(for: pod) == [.stopContainer(ContainerStop(of: "4f6b1c2d3e4f5a6b", graceSeconds: 0))])
        let (inTime, _) = try FaultCatalogue.fault(of: "container-kill", parameters: ["gracePeriod": "1m30s"])
        #expect(
            try inTime.plan(for: pod) == [.stopContainer(ContainerStop(of: "4f6b1c2d3e4f5a6b", graceSeconds: 90))])
        #expect(!type(of: inTime).isReversible && inTime.notes(on: pod) == ["this cannot be taken back"])
    }

    @Test func `container-kill refuses a target that no runtime is known to have started`() throws {
        let (fault, _) = try FaultCatalogue.fault(of: "container-kill", parameters: [:])
        let process = TargetObservation(
            facts: TargetFacts(container: nil, process: pod.facts.process, network: nil, cgroup: pod.facts.cgroup),
            cpuCount: 4, isOnHostNetwork: false, memoryLimit: nil, diesTogether: false)
        let problem = try #require(throws: Problem.self) { try fault.plan(for: process) }
        #expect((problem.code, problem.field) == (.targetRefused, "target"))
    }

    @Test func `what is for services takes the unit that was named, and nothing else`() throws {
        let (stop, _) = try FaultCatalogue.fault(of: "service-stop", parameters: [:])
        #expect(try stop.plan(for: service) == [.stopService("nginx.service")])
        let (restart, _) = try FaultCatalogue.fault(of: "service-restart", parameters: [:])
        #expect(try restart.plan(for: service) == [.restartService("nginx.service")])
        #expect(!type(of: restart).isReversible && type(of: stop).isReversible)
        let scope = TargetObservation(
            facts: TargetFacts(
                container: nil, unit: UnitName("run-1.scope"), process: nil, network: nil, cgroup: pod.facts.cgroup),
            cpuCount: 4, isOnHostNetwork: true, memoryLimit: nil, diesTogether: false)
        for fault in [stop, restart] {
            for target in [pod, scope] {
                let problem = try #require(throws: Problem.self) { try fault.plan(for: target) }
                #expect((problem.code, problem.field) == (.targetRefused, "target"))
            }
        }
    }

    @Test(arguments: [("-1h", -3600), ("+90s", 90), ("1m30s", 90)] as [(String, Int)])
    func `clock-skew goes either way`(offset: String, seconds: Int) throws {
        let (fault, _) = try FaultCatalogue.fault(of: "clock-skew", parameters: ["offset": .string(offset)])
        #expect(try fault.plan(for: host) == [.skewClock(by: .seconds(seconds))])
        #expect(fault.summary.contains(seconds < 0 ? "back by 1h" : "ahead by 1m30s") && type(of: fault).isReversible)
    }

    @Test func `how far a clock is set is the same either way`() throws {
        let offset = try #require(FaultCatalogue.parameters["clock-skew"]?.first)
        #expect(offset.magnitude(of: "-1h") == 3600e9 && offset.magnitude(of: "1h") == 3600e9)
        #expect(offset.canBeBounded)
    }

    @Test(arguments: [("host-reboot", HostShutdown.reboot), ("host-power-off", .powerOff)])
    func `a host goes down after a while, and for good`(kind: String, how: HostShutdown) throws {
        let (fault, _) = try FaultCatalogue.fault(of: kind, parameters: ["delay": "30s"])
        #expect(try fault.plan(for: host) == [.shutDown(how, after: .seconds(30))])
        #expect(!type(of: fault).isReversible && type(of: fault).takesHostDown)
        #expect(fault.notes(on: host).first?.hasPrefix("this cannot be taken back") == true)
        try fault.refuseTooShort(.seconds(31))
        let problem = #expect(throws: Problem.self) { try fault.refuseTooShort(.seconds(30)) }
        #expect(problem?.field == "parameters.delay")
    }

    @Test func `what is for hosts hits the whole host, and nothing else`() throws {
        for type in FaultCatalogue.all where type.reach == .host {
            let (fault, _) = try FaultCatalogue.fault(of: type.kind, parameters: type.examples[0].parameters)
            for target in [pod, service] {
                let problem = try #require(throws: Problem.self) { try fault.plan(for: target) }
                #expect((problem.code, problem.field) == (.targetRefused, "target"))
            }
        }
    }

    @Test(arguments: [("30s", 30, false), ("30s", 31, true), ("0s", 1, true)] as [(String, Int, Bool)])
    func `container-kill gives no more time than the session has`(grace: String, seconds: Int, fits: Bool) throws {
        let (fault, _) = try FaultCatalogue.fault(of: "container-kill", parameters: ["gracePeriod": .string(grace)])
        do throws(Problem) {
            try fault.refuseTooShort(.seconds(seconds))
            #expect(fits)
        } catch {
            #expect(!fits && (error.code, error.field) == (.fieldInvalid, "parameters.gracePeriod"))
        }
    }

    @Test func `cpu stress takes a thread for each CPU of the target when none are named`() throws {
        let (fault, _) = try FaultCatalogue.fault(of: "cpu-stress", parameters: ["load": 30])
        #expect(try fault.plan(for: pod) == [.runWorker(.cpu(load: 30, threads: 4))])
    }

    @Test func `cpu stress takes its share of the quota, or of the node`() throws {
        func plan(_ parameters: JSON, quota: Double?) throws -> [Step] {
            let (fault, _) = try FaultCatalogue.fault(of: "cpu-stress", parameters: parameters)
            return try fault.plan(
                for: TargetObservation(
                    facts: pod.facts, cpuCount: 4, cpuQuota: quota, nodeCPUCount: 8, isOnHostNetwork: false,
                    memoryLimit: nil, diesTogether: false))
        }
        #expect(
            try plan(["load": 80, "base": "quota"], quota: 0.5) == [.runWorker(.cpu(load: 10, threads: 4))])
        #expect(
            try plan(["load": 50, "base": "quota", "workers": 1], quota: 1.5)
                == [.runWorker(.cpu(load: 75, threads: 1))])
        // Without a quota it has the CPUs that it may run on.
        #expect(try plan(["load": 50, "base": "quota"], quota: nil) == [.runWorker(.cpu(load: 50, threads: 4))])
        #expect(
            try plan(["load": 25, "base": "node", "ramp": "5ms"], quota: 1)
                == [.runWorker(.cpu(load: 50, threads: 4, rampNanoseconds: 5_000_000))])
        for parameters in [["load": 51, "base": "node"], ["load": 50, "base": "quota", "workers": 1]] as [JSON] {
            let problem = try #require(throws: Problem.self) { try plan(parameters, quota: 4) }
            #expect((problem.code, problem.field) == (.fieldInvalid, "parameters.load"))
        }
    }

    @Test func `memory stress takes a share of the limit that applies`() throws {
        let (fault, _) = try FaultCatalogue.fault(of: "memory-stress", parameters: ["percent": 25, "ramp": "2s"])
        #expect(try fault.plan(for: pod) == [.runWorker(.memory(bytes: 64 << 20, rampNanoseconds: 2_000_000_000))])
        let (standard, _) = try FaultCatalogue.fault(of: "memory-stress", parameters: [:])
        #expect(
            try standard.plan(for: pod)
                == [.runWorker(.memory(bytes: (256 << 20) * 4 / 5, rampNanoseconds: 0))])
    }

    @Test func `memory stress refuses a share of no limit`() throws {
        let (fault, _) = try FaultCatalogue.fault(of: "memory-stress", parameters: ["percent": 25])
        let unlimited = TargetObservation(
            facts: pod.facts, cpuCount: 4, isOnHostNetwork: false, memoryLimit: nil, diesTogether: false)
        let problem = try #require(throws: Problem.self) { try fault.plan(for: unlimited) }
        #expect((problem.code, problem.field) == (.fieldInvalid, "parameters.percent"))
    }

    @Test func `memory stress leaves something to the node`() throws {
        func plan(_ size: String, limit: ByteCount?) throws -> [Step] {
            let (fault, _) = try FaultCatalogue.fault(of: "memory-stress", parameters: ["size": .string(size)])
            return try fault.plan(
                for: TargetObservation(
                    facts: pod.facts, cpuCount: 4, isOnHostNetwork: false, memoryLimit: limit,
                    nodeMemory: NodeMemory(total: ByteCount(1 << 30), available: ByteCount(512 << 20)),
                    diesTogether: false))
        }
        let problem = try #require(throws: Problem.self) { try plan("500MiB", limit: ByteCount(768 << 20)) }
        #expect((problem.code, problem.field) == (.fieldInvalid, "parameters.size"))
        #expect(try !plan("400MiB", limit: ByteCount(768 << 20)).isEmpty)
        // Without a limit, or with one that leaves the host too little, it is as of the whole host.
        for limit in [nil, ByteCount(769 << 20), ByteCount(1 << 30)] {
            #expect(try #require(throws: Problem.self) { try plan("257MiB", limit: limit) }.code == .fieldInvalid)
            #expect(try !plan("256MiB", limit: limit).isEmpty)
        }
        let (share, _) = try FaultCatalogue.fault(
            of: "memory-stress", parameters: ["percent": 25, "of": "node", "hot": true])
        let target = TargetObservation(
            facts: pod.facts, cpuCount: 4, isOnHostNetwork: false, memoryLimit: nil,
            nodeMemory: NodeMemory(total: ByteCount(1 << 30), available: ByteCount(512 << 20)), diesTogether: false)
        #expect(
            try share.plan(for: target) == [.runWorker(.memory(bytes: 256 << 20, rampNanoseconds: 0, isHot: true))])
        let (most, _) = try FaultCatalogue.fault(of: "memory-stress", parameters: ["percent": 90, "of": "node"])
        #expect(try #require(throws: Problem.self) { try most.plan(for: target) }.field == "parameters.percent")
        // The limit stops it long before.
        #expect(try !plan("16TiB", limit: ByteCount(256 << 20)).isEmpty)
    }

    @Test func `what only the machine's size bounds is what the kernel kills first`() throws {
        let (fault, _) = try FaultCatalogue.fault(
            of: "memory-stress", parameters: ["size": "8MiB", "oomScoreAdj": 999])
        func target(limit: ByteCount?) -> TargetObservation {
            TargetObservation(
                facts: service.facts, cpuCount: 4, isOnHostNetwork: true, memoryLimit: limit,
                nodeMemory: NodeMemory(total: ByteCount(1 << 30), available: ByteCount(512 << 20)),
                diesTogether: false)
        }
        for limit in [nil, ByteCount(1 << 30)] {
            let problem = try #require(throws: Problem.self) { try fault.plan(for: target(limit: limit)) }
            #expect((problem.code, problem.field) == (.fieldInvalid, "parameters.oomScoreAdj"))
            #expect(fault.notes(on: target(limit: limit)).contains { $0.hasPrefix("256 MiB of memory stay available") })
        }
        let bounded = target(limit: ByteCount(256 << 20))
        #expect(
            try fault.plan(for: bounded)
                == [.runWorker(.memory(bytes: 8 << 20, rampNanoseconds: 0), outOfMemoryScore: 999)])
        #expect(!fault.notes(on: bounded).contains { $0.contains("stay available") })
    }

    @Test func `memory stress of the page cache is a file of ours, of the same size`() throws {
        func fill(_ parameters: [JSON.Member]) throws -> Step? {
            let (fault, _) = try FaultCatalogue.fault(
                of: "memory-stress", parameters: .object([JSON.Member("kind", "page-cache")] + parameters))
            #expect(fault.reach == .node)
            return try fault.plan(for: pod).first
        }
        func file(
            _ bytes: Int64, in directory: String = "/tmp", reserve: Double = 10, ramp: Int64 = 0, isHot: Bool = false,
            field: String
        ) throws -> Step {
            .fillDisk(
                DiskFill(
                    directory: directory, amount: .bytes(ByteCount(bytes)), reserve: try #require(Percentage(reserve)),
                    isVisible: false, load: .cache(CacheLoad(rampNanoseconds: ramp, isHot: isHot)), amountField: field))
        }
        #expect(try fill([]) == file((256 << 20) * 4 / 5, field: "parameters.percent"))
        #expect(
            try fill([.init("size", "64MiB"), .init("hot", true), .init("ramp", "2s")])
                == file(64 << 20, ramp: 2_000_000_000, isHot: true, field: "parameters.size"))
        #expect(
            try fill([.init("percent", 25), .init("path", "/data"), .init("reserve", 5)])
                == file(64 << 20, in: "/data", reserve: 5, field: "parameters.percent"))
        let (anonymous, _) = try FaultCatalogue.fault(of: "memory-stress", parameters: [:])
        #expect(anonymous.reach == .container)
    }

    @Test func `memory stress of the page cache says what it takes beside memory`() throws {
        func notes(_ size: String, limit: ByteCount?) throws -> String {
            let (fault, _) = try FaultCatalogue.fault(
                of: "memory-stress", parameters: ["kind": "page-cache", "size": .string(size), "hot": true])
            let target = TargetObservation(
                facts: pod.facts, cpuCount: 4, isOnHostNetwork: false, memoryLimit: limit, diesTogether: true)
            return fault.notes(on: target).joined(separator: "; ")
        }
        let disk = "it takes 1 MiB of the disk of /tmp too: others that write there are hit; 10% of it stays free"
        #expect(try notes("1MiB", limit: ByteCount(2 << 20)) == disk)
        #expect(try notes("1MiB", limit: ByteCount(1 << 20)).contains("read from the disk again and again"))
        #expect(try notes("1MiB", limit: nil).contains("caches of the whole node"))
    }

    @Test func `memory stress says whom the kernel will kill`() throws {
        func notes(_ parameters: JSON, diesTogether: Bool = false) throws -> String {
            let (fault, _) = try FaultCatalogue.fault(of: "memory-stress", parameters: parameters)
            let target = TargetObservation(
                facts: pod.facts, cpuCount: 4, isOnHostNetwork: false, memoryLimit: ByteCount(1 << 20),
                diesTogether: diesTogether)
            return fault.notes(on: target).joined(separator: "; ")
        }
        #expect(try notes(["size": "2MiB"]).contains("memory will run out"))
        #expect(try notes(["size": "2MiB"]).contains("this fault's own process is killed first"))
        #expect(try notes(["size": "2MiB", "oomScoreAdj": 0]).contains("a process of the target may be killed"))
        #expect(try notes(["size": "2MiB"], diesTogether: true).contains("all processes of the target"))
    }

    @Test(
        arguments: [
            ([:], .bytes(ByteCount(500_000_000))),
            (["size": "64MiB"], .bytes(ByteCount(64 << 20))),
            (["percent": 80], .filesystem(Percentage(80)!)),
            (["percent": 50, "of": "ephemeral-limit", "limit": "2GiB"], .bytes(ByteCount(1 << 30))),
        ] as [(JSON, DiskFill.Amount)])
    func `disk fill says how much of what`(parameters: JSON, amount: DiskFill.Amount) throws {
        let (fault, _) = try FaultCatalogue.fault(of: "disk-fill", parameters: parameters)
        let field = parameters["percent"] == nil ? "parameters.size" : "parameters.percent"
        #expect(
            try fault.plan(for: pod)
                == [
                    .fillDisk(
                        DiskFill(
                            directory: "/tmp", amount: amount, reserve: Percentage(10)!, isVisible: false,
                            amountField: field))
                ])
    }
}
