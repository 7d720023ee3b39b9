import ChaosModel
import Faults
import Steps
import Testing
import WorkerProtocol

private let pod = TargetObservation(
    facts: TargetFacts(
        container: nil, process: .init(id: 7, startTime: 8), network: .init(inode: 1, cookie: 2),
        cgroup: .init(path: "/pod", id: 3)),
    cpuCount: 4, isOnHostNetwork: false)

struct FaultCatalogueTests {
    @Test(arguments: FaultCatalogue.all.map { $0.kind })
    func `every example of a fault can be planned`(kind: String) throws {
        let type = try FaultCatalogue.fault(of: kind)
        #expect(!type.examples.isEmpty)
        for example in type.examples {
            let (fault, parameters) = try FaultCatalogue.fault(of: kind, parameters: example.parameters)
            #expect(!(try fault.plan(for: pod).isEmpty))
            #expect(!fault.summary.isEmpty)
            #expect(parameters.members?.map(\.name) == type.parameters.map(\.name))
        }
    }

    @Test(arguments: FaultCatalogue.all.map { $0.kind })
    func `the standard values of a fault are within its own ranges`(kind: String) throws {
        _ = try FaultCatalogue.fault(of: kind, parameters: .object([JSON.Member]()))
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
            ("network-latency", ["delay": "1s"], .fieldUnknown, "parameters.delay"),
            ("cpu-stress", ["load": 0], .fieldInvalid, "parameters.load"),
            ("cpu-stress", ["load": 100.5], .fieldInvalid, "parameters.load"),
            ("cpu-stress", ["workers": -1], .fieldInvalid, "parameters.workers"),
            ("cpu-stress", ["workers": 1025], .fieldInvalid, "parameters.workers"),
            ("cpu-stress", ["workers": 1.5], .fieldInvalid, "parameters.workers"),
            ("earthquake", [:], .faultUnknown, "fault"),
        ] as [(String, JSON, ProblemCode, String)])
    func `a bad parameter is named`(kind: String, parameters: JSON, code: ProblemCode, field: String) throws {
        let problem = try #require(throws: Problem.self) {
            try FaultCatalogue.fault(of: kind, parameters: parameters)
        }
        #expect(problem.code == code)
        #expect(problem.field == field)
    }

    @Test func `network latency refuses a target on the node's own network`() throws {
        let (fault, _) = try FaultCatalogue.fault(of: "network-latency", parameters: ["latency": "1s"])
        let onHost = TargetObservation(facts: pod.facts, cpuCount: 4, isOnHostNetwork: true)
        #expect(throws: Problem.self) { try fault.plan(for: onHost) }
    }

    @Test func `cpu stress takes a thread for each CPU of the target when none are named`() throws {
        let (fault, _) = try FaultCatalogue.fault(of: "cpu-stress", parameters: ["load": 30])
        #expect(try fault.plan(for: pod) == [.runWorker(.cpu(load: 30, threads: 4))])
    }
}
