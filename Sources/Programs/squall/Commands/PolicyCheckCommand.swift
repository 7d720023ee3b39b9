import ArgumentParser
import Authorization
import ChaosModel
import Faults

struct PolicyCheckCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Reads a policy as the agent does, and says what is wrong with it or what it allows.",
        discussion: """
            No agent need run. An agent refuses a bad policy whole and keeps the one it has; `squall doctor` tells of it.

            Examples:
              squall policy check /etc/squall/policy.yaml
              squall policy check policy.yaml --output json
            """)

    @Argument(help: "The policy, a YAML file.", completion: .file(extensions: ["yaml", "yml"]))
    var file: String
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let read = PolicyFile(watching: file, faults: FaultCatalogue.parameters)
        if let failure = read.failure {
            throw Failure(.invalid, failure, hint: "'squall policy schema' prints what there may be")
        }
        let policy = read.policy
        let tenants = policy.tenants.sorted { $0.key.name < $1.key.name }
        if policy.guardrails.host == .none {
            for (tenant, grant) in tenants where !grant.units.map(\.text).isEmpty {
                output.note("tenant \(tenant.name) can hit none of its units: the guardrails refuse the host")
            }
            for (tenant, grant) in tenants where !grant.containerNames.map(\.text).isEmpty {
                output.note("tenant \(tenant.name) can hit none of its containerNames: the guardrails refuse the host")
            }
        }
        switch output.format {
        case .json:
            try output.document([
                "tenants": .object(tenants.map { JSON.Member($0.key.name, $0.value.json) })
            ])
        case .table:
            var table = Table(
                "TENANT", "NAMESPACES", "UNITS", "CONTAINERS", "FAULTS", "LONGEST", "SESSIONS", "CERTIFICATES")
            for (tenant, grant) in tenants {
                let longest = grant.longestDuration ?? policy.guardrails.longestDuration
                table.add(
                    Table.Cell(tenant.name), Table.Cell(grant.namespaces.map(\.text).joined(separator: ",")),
                    Table.Cell(grant.units.map(\.text).joined(separator: ",")),
                    Table.Cell(grant.containerNames.map(\.text).joined(separator: ",")),
                    Table.Cell(grant.faults.map(\.text).joined(separator: ",")),
                    Table.Cell(min(longest, policy.guardrails.longestDuration).text),
                    Table.Cell(grant.sessions.map { "\($0)" } ?? "any"),
                    Table.Cell(
                        grant.tlsIdentities.isEmpty ? "-" : grant.tlsIdentities.map(\.text).joined(separator: ",")))
            }
            try output.lines(table.lines(for: output))
        }
        return .success
    }
}

extension Grant {
    fileprivate var json: JSON {
        .object([
            ("namespaces", .array(namespaces.map { .string($0.text) })),
            ("units", .array(units.map { .string($0.text) })),
            (
                "containerNames",
                containerNames.isEmpty ? Optional.none : .array(containerNames.map { .string($0.text) })
            ),
            ("faults", .array(faults.map { .string($0.text) })),
            ("host", .string(host.word)),
            ("duration", longestDuration.map { .string($0.text) }),
            ("sessions", sessions.map { .integer(Int64($0)) }),
            ("sessionsPerTarget", sessionsPerTarget.map { .integer(Int64($0)) }),
            ("containers", containerShare.map { .number($0.value) }),
            (
                "tlsIdentities",
                tlsIdentities.isEmpty ? Optional.none : .array(tlsIdentities.map { .string($0.text) })
            ),
        ])
    }
}
