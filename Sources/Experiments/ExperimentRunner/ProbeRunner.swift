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

    private func values(in context: JSON, until deadline: BootInstant) throws -> [String] {
        switch probe.kind {
        case .http(let check):
            let response = try check.answer(in: context, until: deadline)
            return [String(decoding: response.body, as: UTF8.self).trimmed]
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

    /// Of an instant query: one of each series.
    private func samples(
        _ check: HTTPCheck, of query: String, in context: JSON, until deadline: BootInstant
    ) throws -> [String] {
        let address = try check.url.value(in: context).stringValue ?? ""
        let base = address.hasSuffix("/") ? String(address.dropLast()) : address
        let target = "\(base)/api/v1/query?query=\(HTTPURL.escaped(query))"
        let response = try check.request(target, in: context).response(until: deadline)
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
        let folder = environmentVariable("TMPDIR") ?? "/tmp"
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
    /// In bytes: whatever becomes context for later steps is no longer, an answer to a request either.
    static let longestOutput = 1 << 20

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
        switch place {
        case .pod(let pod):
            let script = PodScript(script: self, pod: pod, words: words, environment: given, context: context)
            return try script.run(in: cluster, within: limit, stop: stop)
        case .ssh(let ssh):
            return try SSHScript(ssh: ssh, words: words, environment: given, context: context)
                .run(within: limit, stop: stop)
        case .here: break
        }
        let file = try ContextFile(context)
        let outcome = try withExtendedLifetime(file) {
            try ChildProcess(command: words, environment: [(name: "SQUALL_CONTEXT", value: file.path)] + given)
                .run(within: limit, stop: stop)
        }
        guard outcome.exitCode == 0 else {
            throw StepFailure.ended(
                program, code: outcome.exitCode, signal: outcome.signal.map(String.init), complaint: outcome.complaint)
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

extension StepFailure {
    /// Of a program that ended, but not as it should have.
    static func ended(_ program: String, code: Int32?, signal: String?, complaint: String) -> StepFailure {
        let how = code.map { "ended with exit code \($0)" } ?? "was killed by signal \(signal ?? "0")"
        let last = complaint.trimmed.split(separator: "\n").last.map { ": \(String($0).cut(to: 300))" } ?? ""
        return StepFailure("\(program) \(how)\(last)")
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
