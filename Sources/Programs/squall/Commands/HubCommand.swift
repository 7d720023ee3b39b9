import ArgumentParser
import ChaosModel
import ExperimentHub
import LinuxSystem

struct HubCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hub",
        abstract: "A catalogue of experiments in a folder, with versions.",
        discussion: """
            A Git repository is one when it is checked out: what is published there, Git commits and sends.

            Examples:
              squall hub list --hub experiments
              squall hub pull leader-loss@1.2.0 --hub experiments
              squall hub publish leader-loss --version 1.3.0 --hub experiments
            """,
        subcommands: [HubListCommand.self, HubPullCommand.self, HubPublishCommand.self])
}

/// Which catalogue, and for whom.
struct HubOptions: ParsableArguments {
    @Option(
        name: .customLong("hub"), help: ArgumentHelp("The catalogue. Without it, SQUALL_HUB.", valueName: "folder"),
        completion: .directory)
    var folder: String?

    var hub: Hub {
        get throws(Failure) {
            guard let folder = folder ?? environmentVariable("SQUALL_HUB") else {
                throw Failure(
                    .invalid, "no catalogue is named", field: "--hub", hint: "give --hub FOLDER, or SQUALL_HUB")
            }
            return try Self.trying { () throws(HubError) in try Hub(folder) }
        }
    }

    static func trying<Result>(_ body: () throws(HubError) -> Result) throws(Failure) -> Result {
        do throws(HubError) {
            return try body()
        } catch {
            throw Failure(.invalid, error.description)
        }
    }
}

/// For whom something is looked for.
struct HubTenantOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Only what is for this tenant. Without it, SQUALL_TENANT; without either, everything.", valueName: "name"))
    var tenant: String?

    var name: String? { tenant ?? environmentVariable("SQUALL_TENANT") }
}

struct HubListCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists the experiments of a catalogue.",
        discussion: """
            What is in the folder and no experiment is told on standard error, and left out.

            Examples:
              squall hub list --hub experiments
              squall hub list --hub experiments --tenant shop --output json
            """)

    @OptionGroup var hub: HubOptions
    @OptionGroup var tenant: HubTenantOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let hub = try hub.hub
        let all = try HubOptions.trying { () throws(HubError) in
            try hub.entries { output.note($0.description) }
        }
        let entries = all.filter { $0.isFor(tenant.name) }
        switch output.format {
        case .json:
            try output.document([
                "experiments": .array(
                    entries.map { entry in
                        .object([
                            ("name", .string(entry.name)),
                            ("versions", .array(entry.versions.map { .string($0.description) })),
                            ("tenants", entry.tenants.map { .array($0.map(JSON.string)) }),
                            ("description", entry.description.map(JSON.string)),
                        ])
                    })
            ])
        case .table:
            var table = Table("NAME", "VERSION", "OLDER", "TENANTS", "DESCRIPTION")
            for entry in entries {
                table.add(
                    Table.Cell(entry.name), Table.Cell(entry.newest.description),
                    Table.Cell(entry.versions.dropLast().reversed().map(\.description).joined(separator: ", ")),
                    Table.Cell(entry.tenants?.joined(separator: ", ") ?? "all"), Table.Cell(entry.description ?? ""))
            }
            try output.lines(table.lines(for: output))
        }
        return .success
    }
}

struct HubPullCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull",
        abstract: "Copies an experiment out of a catalogue, with the files beside it.",
        discussion: """
            Examples:
              squall hub pull leader-loss --hub experiments
              squall hub pull leader-loss@1.2.0 --hub experiments --to old
            """)

    @Argument(help: ArgumentHelp("The experiment; its newest version unless told.", valueName: "name[@version]"))
    var experiment: String

    @Option(help: ArgumentHelp("The new folder. Without it, the experiment's name.", valueName: "folder"))
    var to: String?

    @OptionGroup var hub: HubOptions
    @OptionGroup var tenant: HubTenantOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let parts = experiment.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let version = try parts.count == 2 ? HubPublishCommand.version(parts[1]) : nil
        let hub = try hub.hub
        let target = to ?? parts[0]
        let pulled = try HubOptions.trying { () throws(HubError) in
            try hub.pull(parts[0], version, for: tenant.name, to: target)
        }
        switch output.format {
        case .json:
            try output.document([
                "name": .string(parts[0]), "version": .string(pulled.description), "folder": .string(target),
            ])
        case .table: try output.line("\(parts[0]) \(pulled) is in \(target)")
        }
        return .success
    }
}

struct HubPublishCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "publish",
        abstract: "Puts an experiment into a catalogue, with the files beside it.",
        discussion: """
            The folder has an experiment.yaml, which must be a good one. A version that is there already stays as it is.

            Examples:
              squall hub publish leader-loss --version 1.3.0 --hub experiments
              squall hub publish leader-loss --version 1.4.0 --hub experiments --for shop --for bank
            """)

    @Argument(help: "The folder.", completion: .directory)
    var folder: String

    @Option(help: ArgumentHelp("As 1.2.3.", valueName: "version"))
    var version: String

    @Option(
        name: .customLong("for"),
        help: ArgumentHelp(
            "A tenant that it is for, in all its versions. May be given several times; as before unless told.",
            valueName: "tenant"))
    var tenants: [String] = []

    @OptionGroup var hub: HubOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let version = try Self.version(version)
        for tenant in tenants { _ = try SignerOptions.tenant(tenant) }
        let hub = try hub.hub
        let name = try HubOptions.trying { () throws(HubError) in
            try hub.publish(folder, as: version, for: tenants)
        }
        switch output.format {
        case .json: try output.document(["name": .string(name), "version": .string(version.description)])
        case .table: try output.line("\(name) \(version) is in \(hub.folder)")
        }
        return .success
    }

    static func version(_ text: String) throws(Failure) -> HubVersion {
        guard let version = HubVersion(text) else {
            throw Failure(.invalid, "\"\(text)\" is no version", field: "--version", hint: "three numbers, as 1.2.3")
        }
        return version
    }
}
