import ChaosModel
import ExperimentModel
import Glibc
import HTTPClient
import LinuxSystem

/// Looks at something from outside.
struct ProbeRunner: Sendable {
    let probe: Probe
    let recorder: Recorder
    let cluster: Cluster
    let stop: StopSignal

    /// Makes as many attempts as it may, and records what the last one found.
    ///
    /// - Returns: Whether it passed; nil when the experiment's stop cut it short, which says nothing.
    @discardableResult
    func run(_ phase: String) -> Bool? {
        guard stop.reason == nil else { return nil }
        var run = attempt(phase)
        for _ in 1..<probe.attempts where run.objection != nil {
            if stop.wait(probe.interval) { return nil }
            run = attempt(phase)
        }
        if run.objection != nil, stop.reason != nil { return nil }
        recorder.ran(probe, run)
        return run.objection == nil
    }

    private func attempt(_ phase: String) -> ProbeRun {
        let start = BootInstant.now
        func run(_ value: String?, _ objection: String?) -> ProbeRun {
            ProbeRun(phase: phase, duration: .now - start, value: value, objection: objection)
        }
        do {
            let context = recorder.context()
            let values = try values(in: context, until: start + probe.timeout)
            let took = BootInstant.now - start
            if let within = try probe.within?.duration(in: context, Probe.limits, "within"), took > within {
                return run(values.first, "it took \(took.words), expected \(within.text) at most")
            }
            guard let expectation = probe.expectation else { return run(values.first, nil) }
            for value in values {
                if let objection = try expectation.objection(to: value, in: context) { return run(value, objection) }
            }
            return run(values.first, nil)
        } catch {
            return run(nil, "\(error)")
        }
    }

    private func request(
        _ check: Probe.HTTPCheck, to url: HTTPURL, in context: JSON, body: [UInt8] = []
    ) throws -> HTTPRequest {
        let headers = (try check.headers.value(in: context).members ?? []).map {
            (name: $0.name, value: $0.value.stringValue ?? $0.value.text)
        }
        return try HTTPRequest(
            url, method: check.method, headers: headers, body: body,
            trust: TLSTrust(authorities: check.authorities, isInsecure: check.isInsecure))
    }

    private func values(in context: JSON, until deadline: BootInstant) throws -> [String] {
        switch probe.kind {
        case .http(let check): return [try body(check, in: context, until: deadline)]
        case .tcp(let address):
            let text = try address.value(in: context).stringValue ?? ""
            guard let (host, port) = HTTPURL.hostAndPort(text) else {
                throw StepFailure("\(text.debugDescription) is no host:port")
            }
            let start = BootInstant.now
            _ = try TCPStream(to: host, port: port, until: deadline)
            return ["\((BootInstant.now - start).seconds)"]
        case .command(let script):
            return [try script.output(in: context, cluster: cluster, within: deadline - .now, stop: stop).trimmed]
        case .prometheus(let check, let query):
            return try samples(
                check, of: try query.value(in: context).stringValue ?? "", in: context, until: deadline)
        case .kubernetes(let check): return try check.values(in: context, cluster: cluster)
        case .events(let kind):
            guard let count = recorder.events(ofKind: kind) else {
                throw StepFailure("not all agents could be heard to the end")
            }
            return ["\(count)"]
        }
    }

    private func body(_ check: Probe.HTTPCheck, in context: JSON, until deadline: BootInstant) throws -> String {
        let text = try check.url.value(in: context).stringValue ?? ""
        guard let url = HTTPURL(text) else { throw StepFailure("\(text.debugDescription) is no http or https address") }
        let given = try check.body.value(in: context)
        let request = try request(
            check, to: url, in: context, body: Array((given.stringValue ?? given.text).utf8))
        let response = try request.response(until: deadline)
        let isGood =
            check.statuses.isEmpty
            ? (200..<300).contains(response.status) : check.statuses.contains(Int64(response.status))
        guard isGood else {
            let expected =
                check.statuses.isEmpty ? "200 to 299" : check.statuses.map(String.init).joined(separator: ", ")
            throw StepFailure("status \(response.status), expected \(expected)")
        }
        return String(decoding: response.body, as: UTF8.self).trimmed
    }

    /// Of an instant query: one of each series.
    private func samples(
        _ check: Probe.HTTPCheck, of query: String, in context: JSON, until deadline: BootInstant
    ) throws -> [String] {
        let address = try check.url.value(in: context).stringValue ?? ""
        let base = address.hasSuffix("/") ? String(address.dropLast()) : address
        guard let url = HTTPURL("\(base)/api/v1/query?query=\(HTTPURL.escaped(query))") else {
            throw StepFailure("\(address.debugDescription) is no http or https address")
        }
        let response = try request(check, to: url, in: context).response(until: deadline)
        let document: JSON
        do {
            document = try JSON(parsing: response.body)
        } catch {
            throw StepFailure("status \(response.status), and what came is not Prometheus's answer")
        }
        guard document["status"]?.stringValue == "success", let data = document["data"] else {
            throw StepFailure(document["error"]?.stringValue?.cut(to: 200) ?? "status \(response.status)")
        }
        let result = data["result"]
        let values: [JSON?] =
            switch data["resultType"]?.stringValue {
            case "vector": (result?.arrayValue ?? []).map { $0["value"]?.arrayValue?.last }
            case "scalar", "string": [result?.arrayValue?.last]
            default:
                throw StepFailure(
                    "the query finds \(data["resultType"]?.stringValue ?? "nothing"), not one value of each series")
            }
        let texts = values.compactMap { $0?.stringValue }
        guard !texts.isEmpty else { throw StepFailure("the query finds nothing") }
        return texts
    }
}

/// The context as a file that is there for as long as this is: it may be longer than a variable can be.
private final class ContextFile {
    let path: String

    init(_ context: JSON) throws(StepFailure) {
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        let path = "\(folder)/squall-context.\(UInt64.random(in: .min ... .max))"
        self.path = path
        do throws(SystemCallError) {
            let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
            try file.writeAll(context.bytes, subject: path)
        } catch {
            unlink(path)
            throw StepFailure("its context cannot be written: \(error)")
        }
    }

    deinit { unlink(path) }
}

extension Script {
    /// - Throws: When it fails, or ends with another code than 0.
    func output(in context: JSON, cluster: Cluster, within limit: Duration, stop: StopSignal) throws -> String {
        let words = (try command.value(in: context).arrayValue ?? []).map { $0.stringValue ?? $0.text }
        guard let program = words.first, !program.isEmpty else { throw StepFailure("no program is named") }
        let given = (try environment.value(in: context).members ?? []).map {
            (name: $0.name, value: $0.value.stringValue ?? $0.value.text)
        }
        guard !(words + given.flatMap { [$0.name, $0.value] }).contains(where: { $0.utf8.contains(0) }) else {
            throw StepFailure("an argument or a variable has a zero byte in it")
        }
        if let pod {
            let script = PodScript(script: self, pod: pod, words: words, environment: given, context: context)
            return try script.run(in: cluster, within: limit, stop: stop)
        }
        let file = try ContextFile(context)
        let outcome = try withExtendedLifetime(file) {
            try ChildProcess(command: words, environment: [(name: "SQUALL_CONTEXT", value: file.path)] + given)
                .run(within: limit, stop: stop)
        }
        guard outcome.exitCode == 0 else {
            let how = outcome.exitCode.map { "exit code \($0)" } ?? "killed by signal \(outcome.signal ?? 0)"
            let last =
                outcome.complaint.trimmed.split(separator: "\n").last.map { ": \(String($0).cut(to: 300))" } ?? ""
            throw StepFailure("\(program) ended with \(how)\(last)")
        }
        return outcome.output
    }

    /// What later steps can refer to.
    func parsed(_ text: String) throws(StepFailure) -> JSON {
        switch output {
        case .text: return .string(text.trimmed)
        case .json:
            do throws(JSONError) {
                return try JSON(parsing: text)
            } catch {
                throw StepFailure("its output is no JSON: \(error)")
            }
        case .values:
            var members: [JSON.Member] = []
            for line in text.split(separator: "\n") where !String(line).trimmed.isEmpty {
                guard let equals = line.firstIndex(of: "="), equals != line.startIndex else {
                    throw StepFailure("its output has a line that is not NAME=VALUE: \(String(line).cut(to: 100))")
                }
                let name = String(line[..<equals]).trimmed
                guard !members.contains(where: { $0.name == name }) else {
                    throw StepFailure("its output has \(name.cut(to: 64)) twice")
                }
                members.append(JSON.Member(name, .string(String(line[line.index(after: equals)...]).trimmed)))
            }
            return .object(members)
        }
    }
}

extension String {
    /// Without blank space at its ends.
    var trimmed: String {
        String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }
}

extension Duration {
    /// For people.
    var words: String { "\((seconds * 1000).rounded() / 1000) s" }
}
