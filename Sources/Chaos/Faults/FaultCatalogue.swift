package import ChaosModel
import Steps

/// Every fault that this agent knows.
package enum FaultCatalogue {
    package static let all: [any Fault.Type] = [
        CPUStress.self,
        CPUThrottle.self,
        ContainerPause.self,
        ContainerKill.self,
        ServiceStop.self,
        ServiceRestart.self,
        ProcessSignal.self,
        MemoryStress.self,
        MemorySqueeze.self,
        DiskFillFault.self,
        IOStress.self,
        IOThrottle.self,
        NetworkLatency.self,
        NetworkLoss.self,
        NetworkPartition.self,
        NetworkCorruption.self,
        NetworkDuplication.self,
        NetworkReorder.self,
        NetworkRateLimit.self,
        NetworkStress.self,
        ClockSkew.self,
        HostReboot.self,
        HostPowerOff.self,
    ]

    /// Each fault's parameters, by its kind.
    package static var parameters: [String: [Parameter]] {
        Dictionary(uniqueKeysWithValues: all.map { ($0.kind, $0.parameters) })
    }

    /// - Throws: `fault-unknown`.
    package static func fault(of kind: String) throws(Problem) -> any Fault.Type {
        guard let fault = all.first(where: { $0.kind == kind }) else {
            throw Problem(
                .faultUnknown, "there is no fault \"\(kind)\"", field: "fault",
                hint: "known: \(all.map { $0.kind }.joined(separator: ", "))")
        }
        return fault
    }

    /// A fault with its parameters checked, and the values in force.
    ///
    /// - Throws: `fault-unknown`, `field-unknown`, `field-invalid`.
    package static func fault(
        of kind: String, parameters: JSON
    ) throws(Problem) -> (fault: any Fault, parameters: JSON) {
        let type = try fault(of: kind)
        let values = try ParameterValues(parameters, of: type.parameters)
        return (try type.init(values), values.json)
    }
}

extension Fault {
    /// The JSON Schema (draft 2020-12) of this fault's `parameters`.
    package static var schema: JSON {
        let required = parameters.filter(\.isRequired).map { JSON.string($0.name) }
        return .object([
            ("$schema", "https://json-schema.org/draft/2020-12/schema"),
            ("title", .string(kind)),
            ("description", .string(summary)),
            ("type", "object"),
            ("additionalProperties", false),
            ("properties", .object(parameters.map { JSON.Member($0.name, $0.schema) })),
            ("required", required.isEmpty ? nil : .array(required)),
        ])
    }

    /// The fault's entry in `GET /v1/faults`.
    package static var json: JSON {
        [
            "kind": .string(kind),
            "summary": .string(summary),
            "explanation": .string(explanation),
            "reach": .string(reach.rawValue),
            "needs": .array(needs.map { .string($0.rawValue) }),
            "reversible": .boolean(isReversible),
            "parameters": schema,
            "examples": .array(
                examples.map { ["title": .string($0.title), "parameters": $0.parameters] }),
        ]
    }
}
