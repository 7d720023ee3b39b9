package import ChaosModel
package import Steps
import WorkerProtocol

/// Holds memory in the target's cgroup: anonymous memory, or the kernel's cache of a file.
package struct MemoryStress: Fault {
    package static let kind = "memory-stress"
    package static let summary = "holds memory in the target's cgroup"
    package static let explanation = """
        A process of the agent's own, without capabilities, runs in the target's cgroup and takes anonymous memory, which \
        counts against the same limits as the target's own. What is asked for is what the process holds, beside what \
        the target uses already: where both do not fit below the limit, the kernel reclaims caches first, then kills. \
        Which process it takes is a choice: this fault's own unless told otherwise, and the session says so. Where \
        memory.oom.group is set, it takes all of the container together. \
        With kind=page-cache it is the kernel's cache that takes the memory: the process writes a file without a name in a \
        directory of the target, and to the disk at once, so that its pages are clean and count against the target's \
        limits as what the target itself reads and writes does. Nobody is killed for want of such memory: the kernel takes it \
        back instead, and with it the target's own caches, so that the target reads from the disk again. What is hot is taken \
        back last, and read again when it was. The file takes as much of the disk as of memory, others that write \
        there are hit, and a reserve stays free: once a second the file shrinks by what others took of it. The event \
        `worker-reached` says what is in the file, the effect how much of that is in the cache. \
        The path is followed inside the target's root, and nowhere else; of a unit or a process of the host's own, not into \
        what pods, containers and the agent keep on the node; on a tmpfs, whose files are \
        memory that cannot be taken back, it is refused. The kernel frees file and cache when everything of the agent's dies. \
        Where no limit holds the target back, as the whole host, and a unit or a container without one, a tenth of the \
        host's memory, and 256 MiB at the least, stays available when the session begins, so that somebody can still \
        log in; when others have taken half of that, the process is ended, and the session with it.
        """
    package static let reach = Reach.container
    package static let needs: [NodeFeature] = [.workers]
    package static let makesFiles = true
    package static let canHitHost = true
    package static let parameters = [
        Parameter(
            "kind", .choice(Kind.allCases.map(\.rawValue)), standard: .string(Kind.anonymous.rawValue),
            meaning: "memory that only its process uses, or the kernel's cache of a file"),
        Parameter(
            "size", .bytes(ByteCount(1 << 20)...ByteCount(16 << 40)), meaning: "how much to hold; not with percent"),
        Parameter(
            "percent", .percentage(1...100),
            meaning: "the same as a share, of what of says; 80 where neither is given"),
        Parameter(
            "of", .choice(Whole.allCases.map(\.rawValue)), standard: .string(Whole.limit.rawValue),
            meaning:
                "what percent is a share of: the tightest memory limit that applies to the target, or all memory of the "
                + "node"),
        Parameter(
            "ramp", .duration(.zero...(.seconds(7200))), standard: "0s",
            meaning: "how long it takes to get there, evenly; 0s is as fast as the kernel gives memory"),
        Parameter(
            "hot", .boolean, standard: false,
            meaning:
                "whether it is used again once a second: otherwise the kernel may swap it out, where there is swap, "
                + "and takes caches back as soon as memory is short"),
        Parameter(
            "oomScoreAdj", .integer(0...1000), standard: 1000,
            meaning: "how soon the kernel kills this fault's process when memory runs out: 1000 is first, "
                + "0 leaves the choice to sizes; less than 1000 not where only the machine's size bounds it, and not "
                + "with kind=page-cache"),
        Parameter(
            "path", .path,
            meaning:
                "the directory of the file, as the target sees it; /tmp where none is given; only with kind=page-cache"),
        Parameter(
            "reserve", .percentage(1...90),
            meaning:
                "share of its file system that always stays free; 10 where none is given; only with kind=page-cache"),
    ]
    package static let examples = [
        FaultExample("64 MiB more", ["size": "64MiB"]),
        FaultExample("half of the limit, slowly", ["percent": 50, "ramp": "10s"]),
        FaultExample("caches that are in use", ["kind": "page-cache", "size": "32MiB", "hot": true]),
    ]

    private enum Kind: String, CaseIterable {
        case anonymous
        case pageCache = "page-cache"
    }

    private enum Backing {
        case anonymous(outOfMemoryScore: Int32)
        case pageCache(directory: String, reserve: Percentage)
    }

    private enum Held {
        case size(ByteCount)
        case share(Percentage, of: Whole)

        /// That says it.
        var field: String {
            switch self {
            case .size: "parameters.size"
            case .share: "parameters.percent"
            }
        }
    }

    private enum Whole: String, CaseIterable {
        case limit
        case node
    }

    private let amount: Held
    private let ramp: Duration
    private let isHot: Bool
    private let backing: Backing

    package let implied: [JSON.Member]

    package init(_ values: ParameterValues) throws(Problem) {
        let whole = Whole(rawValue: values.text("of")) ?? .limit
        var implied: [JSON.Member] = []
        switch try values.amount() {
        case .size(let size): amount = .size(size)
        case .percent(let share): amount = .share(share, of: whole)
        case nil:
            amount = .share(.standardShare, of: whole)
            implied.append(JSON.Member("percent", .number(Percentage.standardShare.value)))
        }
        ramp = values.duration("ramp")
        isHot = values.boolean("hot")
        let outOfMemoryScore = Int32(values.integer("oomScoreAdj"))
        switch Kind(rawValue: values.text("kind")) {
        case .pageCache?:
            guard outOfMemoryScore == Self.firstToGo else {
                throw Problem(
                    .fieldInvalid, "caches are taken back, and nobody is killed for them",
                    field: "parameters.oomScoreAdj", hint: "leave it out, or say kind=anonymous")
            }
            let directory = values.optionalText("path") ?? "/tmp"
            implied.append(JSON.Member("path", .string(directory)))
            backing = .pageCache(
                directory: directory,
                reserve: values.optionalPercentage("reserve") ?? .standardReserve)
            if values.optionalPercentage("reserve") == nil {
                implied.append(JSON.Member("reserve", .number(Percentage.standardReserve.value)))
            }
        case .anonymous?:
            try Self.refuse("path", values.optionalText("path"))
            try Self.refuse("reserve", values.optionalPercentage("reserve"))
            backing = .anonymous(outOfMemoryScore: outOfMemoryScore)
        case nil: preconditionFailure("a choice beside its words")
        }
        self.implied = implied
    }

    /// The kernel kills it before all others.
    private static let firstToGo: Int32 = 1000

    private static func refuse(_ name: String, _ value: Any?) throws(Problem) {
        guard value != nil else { return }
        throw Problem(
            .fieldInvalid, "anonymous memory is in no file", field: "parameters.\(name)",
            hint: "leave it out, or say kind=page-cache")
    }

    package func reach(on target: TargetObservation) -> Reach { target.facts.isHost ? .node : reach }

    package var reach: Reach {
        switch backing {
        case .anonymous: .container
        case .pageCache: .node
        }
    }

    package var summary: String {
        var text: String
        switch amount {
        case .size(let size): text = "hold \(size) of memory in the target's cgroup"
        case .share(let share, .limit): text = "hold \(share) of the target's memory limit in its cgroup"
        case .share(let share, .node): text = "hold \(share) of the node's memory in the target's cgroup"
        }
        if case .pageCache(let directory, _) = backing { text += ", as cache of a file in \(directory)" }
        if ramp > .zero { text += ", reached within \(ramp.text)" }
        return text
    }

    package func notes(on target: TargetObservation) -> [String] {
        let size = bytes(for: target)
        switch backing {
        case .anonymous(let score): return anonymousNotes(size, score, on: target)
        case .pageCache(let directory, let reserve): return cacheNotes(size, directory, reserve, on: target)
        }
    }

    private func anonymousNotes(
        _ size: ByteCount?, _ outOfMemoryScore: Int32, on target: TargetObservation
    ) -> [String] {
        var notes: [String] = []
        if let limit = target.memoryLimit, let size, size >= limit {
            notes.append("\(size) is not below the target's limit of \(limit): memory will run out")
        }
        if target.memoryLimit == nil, !target.facts.isHost {
            notes.append("the target has no memory limit: what it holds is missing on the whole node")
        }
        if let node = target.nodeMemory, Self.isBoundByMachineAlone(target) {
            notes.append(
                "\(node.hostReserve) of memory stay available; when others have taken half of that, the session ends")
        }
        if target.facts.unit != nil {
            notes.append(
                "when memory runs out, systemd stops the unit, unless its OOMPolicy is continue, whoever was killed")
        }
        if target.diesTogether {
            notes.append(
                "memory.oom.group is set: when memory runs out, all processes of the target are killed together")
        } else if outOfMemoryScore == Self.firstToGo {
            notes.append("when memory runs out, this fault's own process is killed first")
        } else {
            notes.append("when memory runs out, a process of the target may be killed before this fault's own")
        }
        return notes
    }

    private func cacheNotes(
        _ size: ByteCount?, _ directory: String, _ reserve: Percentage, on target: TargetObservation
    ) -> [String] {
        var notes: [String] = []
        if let size {
            notes.append(
                "it takes \(size) of the disk of \(directory) too: others that write there are hit; \(reserve) of it stays "
                    + "free")
        }
        if let limit = target.memoryLimit, let size, size >= limit {
            notes.append(
                "\(size) is not below the target's limit of \(limit): what does not fit is taken back at once"
                    + (isHot ? ", and read from the disk again and again" : ""))
        }
        if target.memoryLimit == nil {
            notes.append("the target has no memory limit: caches of the whole node are taken back for it")
        }
        return notes
    }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        guard let size = bytes(for: target) else {
            throw Problem(
                .fieldInvalid, "the target has no memory limit that a percentage could be a share of",
                field: "parameters.percent", hint: "ask for a size, as size=256MiB, or say of=node")
        }
        if case .anonymous(let score) = backing, score != Self.firstToGo, Self.isBoundByMachineAlone(target) {
            throw Problem(
                .fieldInvalid, "what holds memory of the host that no limit bounds is what the kernel kills first",
                field: "parameters.oomScoreAdj", hint: "leave it out")
        }
        try target.nodeMemory?.refuseToStarve(holding: size, below: target.memoryLimit, field: amount.field)
        let rampNanoseconds = Int64(ramp / .nanoseconds(1))
        switch backing {
        case .anonymous(let score):
            return [
                .runWorker(
                    .memory(bytes: size.value, rampNanoseconds: rampNanoseconds, isHot: isHot), outOfMemoryScore: score)
            ]
        case .pageCache(let directory, let reserve):
            return [
                .fillDisk(
                    DiskFill(
                        directory: directory, amount: .bytes(size), reserve: reserve, isVisible: false,
                        load: .cache(CacheLoad(rampNanoseconds: rampNanoseconds, isHot: isHot)),
                        amountField: amount.field))
            ]
        }
    }

    /// Nil for a share of no limit.
    private func bytes(for target: TargetObservation) -> ByteCount? {
        switch amount {
        case .size(let size): size
        case .share(let share, let whole):
            (whole == .limit ? target.memoryLimit : target.nodeMemory?.total)
                .map { ByteCount(Int64(Double($0.value) * share.fraction)) }
        }
    }

    /// Whether no limit of the target's leaves the host its reserve.
    private static func isBoundByMachineAlone(_ target: TargetObservation) -> Bool {
        guard let node = target.nodeMemory else { return target.memoryLimit == nil }
        return !node.isSpared(by: target.memoryLimit)
    }
}
