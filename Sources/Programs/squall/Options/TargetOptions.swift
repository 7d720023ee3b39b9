import ArgumentParser
import ChaosModel
import LinuxSystem

struct TargetOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The container, as its pod's status names it.", valueName: "id"))
    var container: String?

    @Option(help: ArgumentHelp("The process, and all that shares its container.", valueName: "number"))
    var pid: Int32?

    @Option(
        help: ArgumentHelp(
            "When the process started: field 22 of /proc/PID/stat on the node. Without it, read here.",
            valueName: "ticks"))
    var startTime: UInt64?

    @Option(help: ArgumentHelp("The cgroup, by its path below the cgroup root.", valueName: "path"))
    var cgroup: String?

    mutating func validate() throws {
        let count = [container != nil, pid != nil, cgroup != nil].count { $0 }
        guard count == 1 else {
            throw ValidationError("Name exactly one target: --container, --pid or --cgroup.")
        }
        guard startTime == nil || pid != nil else {
            throw ValidationError("--start-time belongs to --pid.")
        }
    }

    var selector: TargetSelector {
        get throws(Failure) {
            var named: [(String, JSON?)] = [
                ("container", container.map(JSON.string)), ("cgroup", cgroup.map(JSON.string)),
            ]
            if let pid {
                let start: UInt64
                if let startTime { start = startTime } else { start = try Self.startTime(ofProcess: pid) }
                named.append(
                    ("process", ["pid": .integer(Int64(pid)), "startTime": .integer(Int64(clamping: start))]))
            }
            do throws(Problem) {
                return try TargetSelector(.object(named))
            } catch {
                throw Failure(error)
            }
        }
    }

    private static func startTime(ofProcess id: Int32) throws(Failure) -> UInt64 {
        do throws(SystemCallError) {
            return try ProcessFacts(ofProcess: id).startTime
        } catch {
            throw Failure(
                .invalid, "cannot read when process \(id) started: \(error)", field: "target.process.startTime",
                hint: "give --start-time")
        }
    }
}
