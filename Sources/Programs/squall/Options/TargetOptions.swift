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

    var selector: TargetSelector {
        get throws(Failure) {
            guard [container != nil, pid != nil, cgroup != nil].count(where: { $0 }) == 1 else {
                throw Failure(
                    .invalid, "exactly one target is to be named", field: "target",
                    hint: "give one of --container, --pid and --cgroup")
            }
            guard startTime == nil || pid != nil else {
                throw Failure(
                    .invalid, "a start time is a process's", field: "--start-time", hint: "give --pid with it")
            }
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
            let isMissing = error.errno == .noEntry || error.errno == .noProcess
            throw Failure(
                isMissing ? .conflict : .invalid,
                isMissing ? "there is no process \(id) here" : "cannot read when process \(id) started: \(error)",
                field: isMissing ? "target.process.pid" : "target.process.startTime",
                hint: "on the node it may have another number: give that, and --start-time with it")
        }
    }
}
