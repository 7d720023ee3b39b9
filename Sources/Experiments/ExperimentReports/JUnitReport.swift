import ChaosModel

extension RunResult {
    /// For a pipeline: a test case for each probe and each step.
    package var junit: String {
        var cases = steps.filter { $0["kind"] != "parallel" && $0["kind"] != "serial" }.map(stepCase)
        cases += probes.map(probeCase)
        let isGreen = verdict != "Pass" && !cases.contains { $0.kind == "failure" || $0.kind == "error" }
        if verdict == "Stopped" || verdict == "Error" || isGreen {
            // Whatever was skipped for it: nobody is to take this for a good run.
            cases.append(
                Case(
                    group: "experiment", name: "verdict", seconds: 0, kind: "error", message: text("reason") ?? verdict)
            )
        }
        let failures = cases.count { $0.kind == "failure" }
        let errors = cases.count { $0.kind == "error" }
        let skipped = cases.count { $0.kind == "skipped" }
        var lines = [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<testsuites>",
            "<testsuite name=\"\(name.xml)\" tests=\"\(cases.count)\" failures=\"\(failures)\" errors=\"\(errors)\" "
                + "skipped=\"\(skipped)\" time=\"\(seconds)\" timestamp=\"\(String((text("startedAt") ?? "").prefix(19)).xml)\">",
            "<properties>",
            "<property name=\"verdict\" value=\"\(verdict.xml)\"/>",
            "<property name=\"score\" value=\"\(score.map(Self.number) ?? "")\"/>",
            "<property name=\"id\" value=\"\((text("id") ?? "").xml)\"/>",
            "</properties>",
        ]
        lines += cases.map { each in
            let open =
                "<testcase classname=\"\(name.xml).\(each.group)\" name=\"\(each.name.xml)\" time=\"\(each.seconds)\""
            guard let kind = each.kind else { return "\(open)/>" }
            return "\(open)><\(kind) message=\"\(each.message.xml)\"/></testcase>"
        }
        return (lines + ["</testsuite>", "</testsuites>", ""]).joined(separator: "\n")
    }

    private struct Case {
        let group: String
        let name: String
        let seconds: Double
        /// Nil for one that passed.
        let kind: String?
        let message: String
    }

    private func stepCase(_ step: JSON) -> Case {
        let begin = step["begin"]?.doubleValue ?? 0
        let kind: String? =
            switch step["state"]?.stringValue {
            case "succeeded": nil
            case "failed" where verdict == "Error": "error"
            default: "skipped"
            }
        return Case(
            group: "steps", name: step["name"]?.stringValue ?? "",
            seconds: max(0, (step["end"]?.doubleValue ?? begin) - begin),
            kind: kind, message: step["message"]?.stringValue ?? step["state"]?.stringValue ?? "")
    }

    private func probeCase(_ probe: JSON) -> Case {
        let kind: String? =
            switch probe["verdict"]?.stringValue {
            case "Passed": nil
            case "Failed": "failure"
            default: "skipped"
            }
        let seconds = (probe["runs"]?.arrayValue ?? []).compactMap { $0["seconds"]?.doubleValue }.reduce(0, +)
        return Case(
            group: "probes", name: probe["name"]?.stringValue ?? "", seconds: (seconds * 1000).rounded() / 1000,
            kind: kind,
            message: probe["message"]?.stringValue ?? probe["verdict"]?.stringValue ?? "")
    }
}

extension String {
    /// As text or an attribute of XML 1.0, or HTML: what that cannot have at all is replaced.
    var xml: String {
        var escaped = ""
        for scalar in unicodeScalars {
            switch scalar {
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "&": escaped += "&amp;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            case "\n", "\t": escaped += " "
            default:
                let isAllowed = scalar.value >= 0x20 && scalar.value != 0xFFFE && scalar.value != 0xFFFF
                escaped.unicodeScalars.append(isAllowed ? scalar : "\u{FFFD}")
            }
        }
        return escaped
    }
}
