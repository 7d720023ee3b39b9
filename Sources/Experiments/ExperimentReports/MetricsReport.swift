import ChaosModel
import Glibc

extension RunResult {
    /// Prometheus's text format, for node exporter's textfile collector or a Pushgateway: the last run of this experiment. Prometheus
    /// keeps the runs before.
    package var metrics: String {
        let experiment = "experiment=\"\(Self.label(name))\""
        var lines: [String] = []
        func family(_ name: String, _ help: String, _ samples: [(labels: String, value: String)]) {
            guard !samples.isEmpty else { return }
            lines += ["# HELP squall_experiment_\(name) \(help)", "# TYPE squall_experiment_\(name) gauge"]
            lines += samples.map { "squall_experiment_\(name){\(experiment)\($0.labels)} \($0.value)" }
        }
        family(
            "verdict", "1 for the verdict of the last run, 0 for the others.",
            ["Pass", "Fail", "Error", "Stopped"].map { (",verdict=\"\($0)\"", $0 == verdict ? "1" : "0") })
        family("score_percent", "The last run's resilience score.", score.map { [("", "\($0)")] } ?? [])
        family("duration_seconds", "How long the last run took.", [("", "\(seconds)")])
        family(
            "end_timestamp_seconds", "When the last run was over, in seconds since 1970.",
            text("startedAt").flatMap(Self.seconds).map { [("", "\(Int64($0 + seconds))")] } ?? [])
        family(
            "sessions", "How many sessions the last run had, by whether each was taken back for certain.",
            sessions.isEmpty
                ? []
                : [true, false].map { isTakenBack in
                    let count = sessions.count { ($0["revertVerified"]?.booleanValue == true) == isTakenBack }
                    return (",verified=\"\(isTakenBack)\"", "\(count)")
                })
        family(
            "probe_passed", "1 for a probe of the last run that passed, 0 for one that did not.",
            probes.compactMap { probe in
                probe["name"]?.stringValue.map { name in
                    (",probe=\"\(Self.label(name))\"", probe["verdict"]?.stringValue == "Passed" ? "1" : "0")
                }
            })
        return lines.joined(separator: "\n") + "\n"
    }

    private static func label(_ text: String) -> String {
        text.cut(to: 200).reduce(into: "") { escaped, character in
            switch character {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n", "\r", "\r\n": escaped += "\\n"
            default: escaped.append(character)
            }
        }
    }

    /// Since 1970, of an instant as RFC 3339 has it in UTC; nil for anything else.
    private static func seconds(_ text: String) -> Double? {
        var parts = tm()
        let numbers = text.prefix(19).split { "-T:".contains($0) }.compactMap { Int32($0) }
        guard numbers.count == 6 else { return nil }
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = (numbers[0] - 1900, numbers[1] - 1, numbers[2])
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (numbers[3], numbers[4], numbers[5])
        return Double(timegm(&parts))
    }
}
