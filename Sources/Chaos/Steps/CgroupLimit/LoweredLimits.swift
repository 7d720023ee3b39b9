import Cgroups
import ChaosModel
import DeadMan
import Dispatch
import Glibc
import LinuxSystem

/// A file that several sessions want to hold less.
struct LimitKey: Hashable {
    let cgroup: TargetFacts.Cgroup
    let resource: LimitedResource

    var tag: UInt64 { fnv1a("limit \(cgroup.id) \(resource.rawValue)".utf8) }
}

/// One limit of a cgroup with the layers of every session on it. Of all of them and what was there before, the lowest
/// applies; whatever else is found there is somebody else's.
final class LoweredLimits: Entrusted {
    let cgroup: Cgroup
    let base: CgroupLimit
    var layers: [SessionID: Layer] = [:]
    var slot: DeadMansProcess.Slot?
    /// Lowers the limit, or has done so, and takes memory back until there is no more than that.
    private var writer: (write: InterruptibleWrite, hasTakenEffect: Bool)?

    struct Layer {
        let limit: CgroupLimit
        let deadline: BootInstant
        /// What the kernel had counted when the session began; nil for a session of an earlier engine.
        let countedBefore: Counted?
        /// It is being undone, and wants nothing any more; but its value may still be there.
        var isEnding = false
    }

    init(_ cgroup: Cgroup, base: CgroupLimit) {
        self.cgroup = cgroup
        self.base = base
    }

    /// What the file is to hold.
    var wanted: CgroupLimit {
        layers.values.filter { !$0.isEnding }.map(\.limit).reduce(base) { lowest, limit in
            (limit.amount ?? .max) < (lowest.amount ?? .max) ? limit : lowest
        }
    }

    /// When the first of those that go on is over.
    var firstDeadline: BootInstant? { layers.values.filter { !$0.isEnding }.map(\.deadline).min() }

    func isOurs(_ found: CgroupLimit) -> Bool {
        found.text == base.text || layers.values.contains { $0.limit.text == found.text }
    }

    /// Writes what the file is to hold. Returns when it is in effect, or has failed, or the kernel was given time enough.
    func write(_ resource: LimitedResource) throws {
        guard resource == .memory, wanted.amount != nil else { return try cgroup.set(wanted, of: resource) }
        // Nothing is written that would take effect later than anybody knows.
        if try cgroup.limit(of: resource).text == wanted.text { return }
        let write = try InterruptibleWrite(wanted.text, to: cgroup.openLimit(of: resource))
        writer = (write, false)
        let end = BootInstant.now + Self.writePatience
        while BootInstant.now < end {
            let isOver = write.hasEnded
            if try cgroup.limit(of: resource).text == wanted.text {
                writer?.hasTakenEffect = true
                // The kernel goes on with it whenever the target wants more.
                DispatchQueue.global().asyncAfter(deadline: .now() + Self.reclaimPatience) { write.interrupt() }
                return
            }
            if let failure = write.failure {
                throw SystemCallError("write", on: "limit of cgroup \(cgroup.path)", errno: failure)
            }
            if isOver { return }
            usleep(100)
        }
    }

    /// Whether nothing of ours can lower the limit any more.
    func stopsLowering() -> Bool {
        guard let writer, !writer.write.hasEnded else { return true }
        writer.write.interrupt()
        return writer.hasTakenEffect
    }

    /// Within a claim.
    private static let writePatience = Duration.milliseconds(500)
    /// How long the kernel may take memory back on our time, in seconds.
    private static let reclaimPatience = 5.0

    /// The file is read before it is written.
    func wasTakenBack() {}
}

/// What the kernel has counted of a limit's effect.
enum Counted {
    case throttled(Duration)
    case reclaimed(Int64?)
    case frozen(since: BootInstant)
    case io(BlockDevice, IOCount, since: BootInstant)

    init(_ cgroup: Cgroup, _ resource: LimitedResource) throws(CgroupFileError) {
        switch resource {
        case .cpu: self = .throttled(try cgroup.throttledTime())
        case .memory: self = .reclaimed(try cgroup.reclaimedMemory())
        case .freezer: self = .frozen(since: .now)
        case .io(let device, _):
            self = .io(device, try cgroup.ioCount(of: device), since: .now)
        }
    }
}
