package import ChaosModel

/// The probes of a ChaosEngine, and those of an experiment's file that look at the same.
package struct LitmusProbes: Sendable {
    package struct Probe: Sendable {
        /// As the engine has it, which may be no name for an experiment.
        package let name: String
        package let type: String
        package let mode: String
        /// Its name in the experiment.
        package let place: String
        /// As an experiment's file has it.
        package let json: JSON
    }

    package let probes: [Probe]

    /// - Parameter engine: A ChaosEngine; nil for none, and no probes.
    package init(_ engine: JSON?, experiment: String) throws(LitmusError) {
        let experiments = engine?["spec"]?["experiments"]?.arrayValue ?? []
        let own = experiments.first { $0["name"]?.stringValue == experiment }
        var probes: [Probe] = []
        for (index, probe) in (own?["spec"]?["probe"]?.arrayValue ?? []).enumerated() {
            probes.append(try Self.probe(probe, index))
        }
        self.probes = probes
    }

    private static func probe(_ probe: JSON, _ index: Int) throws(LitmusError) -> Probe {
        let name = probe["name"]?.stringValue ?? "probe-\(index)"
        func refusal(_ reason: String) -> LitmusError { LitmusError(.generic, "probe \(name.cut(to: 100)): \(reason)") }
        let type = probe["type"]?.stringValue ?? ""
        if probe.text.contains("{{") { throw refusal("templates cannot be had") }
        let place = "probe-\(index + 1)"
        let mode = probe["mode"]?.stringValue ?? "SOT"
        var members: [(String, JSON?)] = [("name", .string(place)), ("mode", .string(mode))]
        do throws(LitmusError) {
            switch type {
            case "httpProbe": members += try http(probe["httpProbe/inputs"] ?? [:])
            case "cmdProbe": members += try command(probe["cmdProbe/inputs"] ?? [:])
            case "k8sProbe": members += try kubernetes(probe["k8sProbe/inputs"] ?? [:])
            case "promProbe": members += try prometheus(probe["promProbe/inputs"] ?? [:])
            default: throw LitmusError(.generic, "its type \(type.cut(to: 32)) is not one that is known here")
            }
            members += try properties(probe["runProperties"] ?? [:])
        } catch {
            throw refusal(error.description)
        }
        return Probe(name: name, type: type, mode: mode, place: place, json: .object(members))
    }

    private static func http(_ inputs: JSON) throws(LitmusError) -> [(String, JSON?)] {
        let method = inputs["method"]
        let isPost = method?["post"] != nil
        guard let check = method?[isPost ? "post" : "get"] else {
            throw LitmusError(.generic, "it has no method, which is get or post")
        }
        let codes = (check["responseCode"]?.stringValue ?? check["responseCode"]?.text ?? "")
            .split { ", []".contains($0) }.compactMap { Int64($0) }
        guard let first = codes.first else { throw LitmusError(.generic, "it has no responseCode") }
        let all = Array(Int64(100)...599)
        let good: [Int64]
        switch check["criteria"]?.stringValue ?? "==" {
        case "==", "oneOf": good = codes
        case "!=": good = all.filter { !codes.contains($0) }
        case "<": good = all.filter { $0 < first }
        case "<=": good = all.filter { $0 <= first }
        case ">": good = all.filter { $0 > first }
        case ">=": good = all.filter { $0 >= first }
        case "between" where codes.count == 2: good = all.filter { (codes[0]...max(codes[0], codes[1])).contains($0) }
        default: throw LitmusError(.generic, "its criteria is one of ==, !=, <, <=, >, >=, oneOf, between")
        }
        if check["bodyPath"]?.stringValue?.isEmpty == false {
            throw LitmusError(.generic, "bodyPath cannot be had: give the body")
        }
        let body = isPost ? check["body"] : nil
        let type = isPost ? check["contentType"] : nil
        return [
            (
                "http",
                .object([
                    ("url", inputs["url"]), ("method", .string(isPost ? "POST" : "GET")),
                    ("status", .array(good.map(JSON.integer))), ("body", body),
                    ("headers", type.map { ["Content-Type": $0] }),
                    ("insecureSkipVerify", inputs["insecureSkipVerify"].flatMap { $0.booleanValue.map(JSON.boolean) }),
                ])
            )
        ]
    }

    private static func command(_ inputs: JSON) throws(LitmusError) -> [(String, JSON?)] {
        guard let command = inputs["command"]?.stringValue, !command.isEmpty else {
            throw LitmusError(.generic, "it has no command")
        }
        let image =
            inputs["source"]?["image"]?.stringValue
            ?? inputs["source"]?.stringValue.flatMap { $0 == "inline" ? nil : $0 }
        return [
            (
                "command",
                .object([
                    ("command", ["/bin/sh", "-c", .string(command)]), ("image", image.map(JSON.string)),
                ])
            ),
            ("expect", try comparator(inputs["comparator"])),
        ]
    }

    private static func kubernetes(_ inputs: JSON) throws(LitmusError) -> [(String, JSON?)] {
        let operation = inputs["operation"]?.stringValue ?? "present"
        guard ["present", "absent"].contains(operation) else {
            throw LitmusError(
                .generic, "its operation is present or absent: nothing is made or deleted by a probe here")
        }
        let group = inputs["group"]?.stringValue ?? ""
        let version = inputs["version"]?.stringValue ?? "v1"
        let names = (inputs["resourceNames"]?.stringValue ?? "").split(separator: ",").map { String($0).withoutBlanks }
        guard names.count < 2 else { throw LitmusError(.generic, "resourceNames has several: make it a probe each") }
        func given(_ name: String) -> JSON? { inputs[name].flatMap { $0.stringValue == "" ? nil : $0 } }
        return [
            (
                "kubernetes",
                .object([
                    ("apiVersion", .string(group.isEmpty ? version : "\(group)/\(version)")),
                    ("resource", inputs["resource"]), ("namespace", given("namespace")),
                    ("name", names.first.map(JSON.string)), ("labelSelector", given("labelSelector")),
                    ("fieldSelector", given("fieldSelector")), ("operation", .string(operation)),
                ])
            )
        ]
    }

    private static func prometheus(_ inputs: JSON) throws(LitmusError) -> [(String, JSON?)] {
        guard let query = inputs["query"]?.stringValue, !query.isEmpty else {
            throw LitmusError(.generic, "it has no query; queryPath cannot be had")
        }
        return [
            ("prometheus", ["url": inputs["endpoint"] ?? "", "query": .string(query)]),
            ("expect", try comparator(inputs["comparator"], standardType: "float")),
        ]
    }

    /// Litmus writes the value as a text, with commas between several.
    private static func comparator(_ json: JSON?, standardType: String? = nil) throws(LitmusError) -> JSON? {
        guard let json else { return nil }
        guard let given = json["criteria"]?.stringValue, let first = given.first else {
            throw LitmusError(.generic, "its comparator has no criteria")
        }
        let criteria = first.lowercased() + given.dropFirst()
        let type = json["type"]?.stringValue ?? standardType ?? "string"
        let text = json["value"].map { $0.stringValue ?? $0.text } ?? ""
        func value(_ text: String) throws(LitmusError) -> JSON {
            if type == "string" { return .string(text) }
            guard let number = Double(text) else {
                throw LitmusError(.generic, "its comparator's value \(text.cut(to: 64)) is no number")
            }
            return .number(number)
        }
        var expected: JSON
        if ["oneOf", "between"].contains(criteria) {
            var values: [JSON] = []
            for part in text.split(whereSeparator: { "[],".contains($0) }) {
                values.append(try value(String(part).withoutBlanks))
            }
            expected = .array(values)
        } else {
            expected = try value(text)
        }
        return ["type": .string(type), "criteria": .string(criteria), "value": expected]
    }

    /// Lengths of time are texts as `5s`; before version 3 they were seconds.
    private static func properties(_ json: JSON) throws(LitmusError) -> [(String, JSON?)] {
        func time(_ names: String..., least: Duration = .zero) throws(LitmusError) -> JSON? {
            for name in names {
                guard let value = json[name] else { continue }
                guard let text = value.integerValue.map({ "\($0)" }) ?? value.stringValue, !text.isEmpty else {
                    continue
                }
                let seconds = Int64(text).flatMap { (0...86400).contains($0) ? Duration.seconds($0) : nil }
                guard let duration = seconds ?? Duration(text: text) else {
                    throw LitmusError(.generic, "its \(name) is \(text.cut(to: 32)), and no length of time")
                }
                return .string(max(duration, least).text)
            }
            return nil
        }
        let attempts = json["attempt"]?.integerValue ?? json["retry"]?.integerValue ?? 1
        return [
            ("timeout", try time("probeTimeout", least: .milliseconds(10))),
            ("interval", try time("interval", least: .milliseconds(10))),
            ("attempts", .integer(max(1, attempts))),
            ("pollingInterval", try time("probePollingInterval", least: .milliseconds(100))),
            ("initialDelay", try time("initialDelay", "initialDelaySeconds")),
            ("stopOnFailure", json["stopOnFailure"].flatMap { $0.booleanValue.map(JSON.boolean) }),
        ]
    }
}
