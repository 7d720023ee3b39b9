import ArgumentParser
import ChaosModel
import LinuxSystem

struct TargetOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The container, as its pod's status names it; or by the name that Docker or Podman knows.",
            valueName: "id"))
    var container: String?

    @Option(help: ArgumentHelp("The namespace of the pod whose container is meant.", valueName: "name"))
    var namespace: String?

    @Option(help: ArgumentHelp("The pod, by its name in --namespace.", valueName: "name"))
    var pod: String?

    @Option(help: ArgumentHelp("The pod, by its uid in --namespace.", valueName: "uid"))
    var podUid: String?

    @Option(
        name: .customLong("selector"),
        help: ArgumentHelp("The pod, by labels that it has, in --namespace.", valueName: "name=value,..."))
    var labels: String?

    @Option(
        help: ArgumentHelp("The container of the pod, by its name. Without it, the only one.", valueName: "name"))
    var containerName: String?

    @Option(help: ArgumentHelp("The process, and all that shares its container.", valueName: "number"))
    var pid: Int32?

    @Option(
        help: ArgumentHelp(
            "When the process started: field 22 of /proc/PID/stat on the node. Without it, read here.",
            valueName: "ticks"))
    var startTime: UInt64?

    @Option(help: ArgumentHelp("The process, by its program's name.", valueName: "name"))
    var process: String?

    @Option(help: ArgumentHelp("Whose --process is, by name or number.", valueName: "name"))
    var user: String?

    @Option(help: ArgumentHelp("The cgroup, by its path below the cgroup root.", valueName: "path"))
    var cgroup: String?

    @Option(help: ArgumentHelp("The unit of systemd, as nginx.service.", valueName: "name"))
    var unit: String?

    @Flag(help: "All of the host, where the policy lets the tenant hit it as a whole.")
    var host = false

    private var namesPod: Bool { [namespace, pod, podUid, labels, containerName].contains { $0 != nil } }

    var selector: TargetSelector {
        get throws(Failure) {
            let document = try document
            do throws(Problem) {
                return try TargetSelector(document)
            } catch {
                throw Failure(error)
            }
        }
    }

    /// The target as a request names it.
    var document: JSON {
        get throws(Failure) {
            guard
                [container != nil, namesPod, pid != nil, process != nil, cgroup != nil, unit != nil, host]
                    .count(where: { $0 }) == 1
            else {
                throw Failure(
                    .invalid, "exactly one target is to be named", field: "target",
                    hint:
                        "give --namespace with --pod, or one of --container, --unit, --process, --pid, --cgroup and --host"
                )
            }
            guard startTime == nil || pid != nil else {
                throw Failure(
                    .invalid, "a start time is a process's", field: "--start-time", hint: "give --pid with it")
            }
            guard user == nil || process != nil else {
                throw Failure(.invalid, "a user is a process's", field: "--user", hint: "give --process with it")
            }
            var named: [(String, JSON?)] = [
                ("container", container.map(JSON.string)), ("cgroup", cgroup.map(JSON.string)),
                ("unit", unit.map(JSON.string)), ("host", host ? true : nil),
            ]
            if namesPod { named.append(("pod", try podNamed)) }
            if let pid {
                let start: UInt64
                if let startTime { start = startTime } else { start = try Self.startTime(ofProcess: pid) }
                named.append(
                    ("process", ["pid": .integer(Int64(pid)), "startTime": .integer(Int64(clamping: start))]))
            }
            if let process {
                named.append(
                    ("process", .object([("name", .string(process)), ("user", user.map(JSON.string))])))
            }
            return .object(named)
        }
    }

    private var podNamed: JSON {
        get throws(Failure) {
            .object([
                ("namespace", namespace.map(JSON.string)), ("name", pod.map(JSON.string)),
                ("uid", podUid.map(JSON.string)), ("labels", try labels.map(Self.labels)),
                ("container", containerName.map(JSON.string)),
            ])
        }
    }

    private static func labels(_ text: String) throws(Failure) -> JSON {
        var members: [JSON.Member] = []
        for label in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = label.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, !members.contains(where: { $0.name == parts[0] }) else {
                throw Failure(
                    .invalid, "labels are written NAME=VALUE,NAME=VALUE, each name once, not \"\(text)\"",
                    field: "target.pod.labels", hint: "as \"app=shop,tier=web\"")
            }
            members.append(JSON.Member(parts[0], .string(parts[1])))
        }
        return .object(members)
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
