import ChaosModel
import ExperimentModel
import Litmus
import Testing

/// What an experiment's variables and a ChaosEngine's probes mean.
struct LitmusTests {
    /// What the agents would be asked for.
    private func injected(_ name: String, _ variables: [String: String] = [:]) throws -> (fault: String, JSON) {
        let settings = LitmusSettings(environment: variables)
        guard case .injected(let fault, let parameters, _) = try LitmusFault(name, settings) else {
            throw LitmusError(.generic, "\(name) is nothing that an agent injects")
        }
        return (fault, parameters)
    }

    @Test(arguments: [
        ("pod-cpu-hog", "cpu-stress"), ("pod-memory-hog", "memory-stress"), ("pod-io-stress", "io-stress"),
        ("pod-network-latency", "network-latency"), ("pod-network-loss", "network-loss"),
        ("pod-network-corruption", "network-corruption"), ("pod-network-duplication", "network-duplication"),
        ("pod-network-rate-limit", "network-rate-limit"), ("pod-network-partition", "network-partition"),
    ])
    func `each experiment is good as it is without variables`(name: String, kind: String) throws {
        let (fault, parameters) = try injected(name)
        #expect(fault == kind)
        // The reader of experiments knows each fault's parameters and their ranges.
        let document: JSON = [
            "apiVersion": "squall/v1", "kind": "Experiment", "metadata": ["name": "one"],
            "spec": [
                "steps": [
                    [
                        "name": "it", "fault": .string(fault), "parameters": parameters,
                        "target": ["container": "0123456789abcdef"],
                    ]
                ]
            ],
        ]
        _ = try Experiment(yaml: document.bytes)
    }

    @Test func `variables have litmus's names and units`() throws {
        #expect(
            try injected("pod-cpu-hog", ["CPU_CORES": "2", "CPU_LOAD": "30"])
                == ("cpu-stress", ["load": 30, "workers": 2]))
        #expect(try injected("pod-memory-hog", ["MEMORY_CONSUMPTION": "64"]) == ("memory-stress", ["size": "64MiB"]))
        let latency = try injected("pod-network-latency", ["NETWORK_LATENCY": "300", "JITTER": "20"]).1
        #expect(latency["latency"] == "300ms" && latency["jitter"] == "20ms" && latency["interfaces"] == ["eth0"])
        let hosts = ["DESTINATION_HOSTS": "db.shop, cache.shop", "DESTINATION_PORTS": "5432"]
        let loss = try injected("pod-network-loss", hosts.merging(["NETWORK_PACKET_LOSS_PERCENTAGE": "40"]) { $1 }).1
        #expect(loss["percent"] == 40 && loss["destinationHosts"] == ["db.shop", "cache.shop"])
        #expect(loss["destinationPorts"] == ["5432"])
    }

    @Test func `older names and lengths of time with a unit are understood`() throws {
        #expect(try injected("pod-network-latency", ["LATENCY": "500ms"]).1["latency"] == "500ms")
        #expect(try injected("pod-network-latency", ["LATENCY": "1s"]).1["latency"] == "1s")
        #expect(try injected("pod-network-loss", ["TARGET_IPs": "10.0.0.1"]).1["destinationIPs"] == ["10.0.0.1"])
        #expect(LitmusFault.canonicalName("network-latency") == "pod-network-latency")
        #expect(LitmusFault.canonicalName("pod-delete") == "pod-delete")
        #expect(LitmusFault.canonicalName("delete") == nil && LitmusFault.canonicalName("node-drain") == nil)
    }

    @Test(arguments: [
        ("pod-cpu-hog", ["CPU_LOAD": "much"]), ("pod-network-latency", ["NETWORK_LATENCY": "soon"]),
        ("pod-network-loss", ["DESTINATION_IPS": "10.0.0.1|80"]), ("pod-network-loss", ["SOURCE_PORTS": "!80"]),
        ("pod-network-partition", ["POD_SELECTOR": "app=db"]), ("pod-network-partition", ["POLICY_TYPES": "some"]),
        ("container-kill", ["SIGNAL": "SIGUSR1"]),
    ])
    func `what cannot be had is told, and nothing else done instead`(name: String, variables: [String: String]) {
        #expect(throws: LitmusError.self) { try injected(name, variables) }
    }

    @Test func `an empty variable is none, and the environment is stronger than the engine`() throws {
        let settings = LitmusSettings(
            environment: ["CPU_LOAD": "", "CPU_CORES": "3"], engine: ["CPU_LOAD": "20", "CPU_CORES": "1"])
        guard case .injected(_, let parameters, _) = try LitmusFault("pod-cpu-hog", settings) else { return }
        #expect(parameters == ["load": 20, "workers": 3])
    }

    @Test func `a number may be one of a range`() throws {
        for _ in 0..<20 {
            let load = try #require(try injected("pod-cpu-hog", ["CPU_LOAD": "40-60"]).1["load"]?.integerValue)
            #expect((40...60).contains(load))
        }
    }

    // MARK: Probes

    private func probe(_ probe: JSON) throws -> JSON {
        let engine: JSON = ["spec": ["experiments": [["name": "pod-cpu-hog", "spec": ["probe": [probe]]]]]]
        let probes = try LitmusProbes(engine, experiment: "pod-cpu-hog").probes
        let json = try #require(probes.first).json
        let document: JSON = [
            "apiVersion": "squall/v1", "kind": "Experiment", "metadata": ["name": "one"],
            "spec": ["probes": [json], "steps": [["name": "wait", "wait": "1s"]]],
        ]
        _ = try Experiment(yaml: document.bytes)
        return json
    }

    @Test func `probes become those of an experiment`() throws {
        let properties: JSON = ["probeTimeout": "10s", "interval": "2s", "retry": 3, "probePollingInterval": "1s"]
        let http = try probe([
            "name": "The Page", "type": "httpProbe", "mode": "Continuous", "runProperties": properties,
            "httpProbe/inputs": [
                "url": "http://web:8080/", "method": ["get": ["criteria": "==", "responseCode": "200"]],
            ],
        ])
        #expect(http["http"]?["status"] == [200] && http["mode"] == "Continuous" && http["attempts"] == 3)
        #expect(http["timeout"] == "10s" && http["interval"] == "2s" && http["pollingInterval"] == "1s")
        let prometheus = try probe([
            "name": "clients", "type": "promProbe", "mode": "EOT", "runProperties": properties,
            "promProbe/inputs": [
                "endpoint": "http://prometheus:9090", "query": "redis_connected_clients",
                "comparator": ["criteria": ">=", "value": "1"],
            ],
        ])
        #expect(prometheus["expect"] == ["type": "float", "criteria": ">=", "value": 1.0])
        let kubernetes = try probe([
            "name": "pods", "type": "k8sProbe", "mode": "SOT", "runProperties": properties,
            "k8sProbe/inputs": [
                "group": "apps", "version": "v1", "resource": "deployments", "namespace": "shop",
                "operation": "present",
                "labelSelector": "app=web", "fieldSelector": "",
            ],
        ])
        #expect(
            kubernetes["kubernetes"]?["apiVersion"] == "apps/v1" && kubernetes["kubernetes"]?["fieldSelector"] == nil)
        let command = try probe([
            "name": "count", "type": "cmdProbe", "mode": "Edge",
            // Before version 3 lengths of time were seconds.
            "runProperties": ["probeTimeout": 5, "interval": 1, "retry": 1],
            "cmdProbe/inputs": [
                "command": "echo 3", "source": ["image": "busybox"],
                "comparator": ["type": "int", "criteria": "oneOf", "value": "[1,3]"],
            ],
        ])
        #expect(command["command"]?["command"] == ["/bin/sh", "-c", "echo 3"])
        #expect(command["command"]?["image"] == "busybox" && command["expect"]?["value"] == [1.0, 3.0])
        #expect(command["timeout"] == "5s")
    }

    @Test(
        arguments: [
            ["type": "sloProbe", "mode": "SOT"],
            ["type": "k8sProbe", "mode": "SOT", "k8sProbe/inputs": ["resource": "pods", "operation": "create"]],
            ["type": "httpProbe", "mode": "SOT", "httpProbe/inputs": ["url": "http://web/"]],
            [
                "type": "promProbe", "mode": "SOT",
                "promProbe/inputs": ["endpoint": "http://prometheus", "queryPath": "/q"],
            ],
        ] as [JSON])
    func `a probe that cannot be run is refused`(probe: JSON) {
        #expect(throws: LitmusError.self) { try self.probe(probe) }
    }
}
