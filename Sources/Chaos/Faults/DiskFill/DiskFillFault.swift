package import ChaosModel
package import Steps

/// Takes room on a disk that the target writes to.
package struct DiskFillFault: Fault {
    package static let kind = "disk-fill"
    package static let summary = "takes room on a disk that the target writes to"
    package static let explanation = """
        A file in a directory of the target grows as asked. It has no name, so that the kernel itself frees it when \
        everything of the agent's dies; with visible it has one, which the kubelet's accounting of ephemeral storage \
        sees, and which the agent takes away, after a crash too. The path is followed inside the target's root, and \
        nowhere else; of a unit or a process of the host's own, not into what pods, containers and the agent keep on the \
        node. A reserve stays free: once a second the file shrinks by what others took of it. What \
        is written to a tmpfs is memory of the target's cgroup, and bounded as that of memory-stress: where no limit of \
        the cgroup holds it back, the host's reserve of memory stays, too, and the session ends when others have taken half of \
        that. A container's own file tree and an emptyDir lie on the node's disk: then everything on the node that writes \
        there is hit.
        """
    package static let reach = Reach.node
    package static let needs: [NodeFeature] = [.workers]
    package static let makesFiles = true
    package static let canHitHost = true
    package static let parameters = [
        Parameter("path", .path, standard: "/tmp", meaning: "the directory, as the target sees it"),
        Parameter(
            "size", .bytes(ByteCount(4096)...ByteCount(16 << 40)),
            meaning: "how much to take; not with percent; 500MB where neither is given"),
        Parameter("percent", .percentage(1...100), meaning: "the same as a share; not with size"),
        Parameter(
            "of", .choice(Whole.allCases.map(\.rawValue)), standard: .string(Whole.filesystem.rawValue),
            meaning: "what percent is a share of: the file system, which is then so full as a whole; or a volume's or "
                + "the pod's ephemeral-storage limit, of which the file then takes so much"),
        Parameter(
            "limit", .bytes(ByteCount(4096)...ByteCount(16 << 40)),
            meaning: "that limit, which only Kubernetes knows; with of=volume and of=ephemeral-limit"),
        Parameter(
            "reserve", .percentage(1...90), standard: 10, meaning: "share of the file system that always stays free"),
        Parameter(
            "visible", .boolean, standard: false,
            meaning: "whether the file has a name, so that what counts files counts it"),
    ]
    package static let examples = [
        FaultExample("64 MiB, invisibly", ["path": "/tmp", "size": "64MiB"]),
        FaultExample(
            "a tenth of the pod's ephemeral storage, to be seen by the kubelet",
            ["percent": 10, "of": "ephemeral-limit", "limit": "512MiB", "visible": true]),
    ]

    private enum Whole: String, CaseIterable {
        case filesystem
        case volume
        case ephemeralLimit = "ephemeral-limit"
    }

    private let fill: DiskFill
    package let implied: [JSON.Member]
    package let summary: String

    package init(_ values: ParameterValues) throws(Problem) {
        let limit = values.optionalBytes("limit")
        guard let whole = Whole(rawValue: values.text("of")) else { preconditionFailure("a choice beside its words") }
        let directory = values.text("path")
        let told = try values.amount()
        var size = told == nil ? Self.standardSize : nil
        let given = told ?? .size(Self.standardSize)
        let amount: DiskFill.Amount
        let field: String
        switch (given, whole, limit) {
        case (.size(let size), .filesystem, nil):
            amount = .bytes(size)
            field = "parameters.size"
            summary = "take \(size) of disk in \(directory)"
        case (.size, _, _):
            throw Problem(
                .fieldInvalid, "of and limit mean nothing without percent", field: "parameters.percent",
                hint: "give a percent, or only a size")
        case (.percent(let percent), .filesystem, nil):
            amount = .filesystem(percent)
            field = "parameters.percent"
            summary = "fill the file system of \(directory) to \(percent)"
        case (.percent, .filesystem, _?):
            throw Problem(
                .fieldInvalid, "the file system knows its own size", field: "parameters.limit",
                hint: "leave it out, or say of=volume or of=ephemeral-limit")
        case (.percent(let percent), .volume, let limit?), (.percent(let percent), .ephemeralLimit, let limit?):
            let bytes = ByteCount(Int64(Double(limit.value) * percent.fraction))
            amount = .bytes(bytes)
            // Whose limit it is, only who asks says.
            size = bytes
            field = "parameters.percent"
            let owner = whole == .volume ? "the volume's" : "the pod's ephemeral-storage"
            summary = "take \(percent) of \(owner) limit of \(limit) in \(directory)"
        case (.percent, .volume, nil), (.percent, .ephemeralLimit, nil):
            throw Problem(
                .fieldMissing, "of=\(whole.rawValue) needs the limit, which only Kubernetes knows",
                field: "parameters.limit", hint: "copy it from the pod's specification, as limit=2Gi")
        }
        implied = size.map { [JSON.Member("size", .string($0.text))] } ?? []
        fill = DiskFill(
            directory: directory, amount: amount, reserve: values.percentage("reserve"),
            isVisible: values.boolean("visible"), amountField: field)
    }

    private static let standardSize = ByteCount(500_000_000)

    package func notes(on target: TargetObservation) -> [String] {
        ["others that write to the same disk are hit too; \(fill.reserve) of it stays free"]
    }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] { [.fillDisk(fill)] }
}
