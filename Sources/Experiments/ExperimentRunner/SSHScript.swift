import ChaosModel
import ExperimentModel
import LinuxSystem
import SSHClient

/// A script on a host that one logs in to by SSH.
struct SSHScript {
    let ssh: Script.SSH
    let words: [String]
    let environment: [(name: String, value: String)]
    let context: JSON

    /// - Throws: When it cannot be begun or has not ended in time, or ends with another code than 0.
    func run(within limit: Duration, stop: StopSignal) throws -> String {
        guard environment.allSatisfy({ !$0.name.isEmpty && !$0.name.utf8.contains(UInt8(ascii: "=")) }) else {
            throw StepFailure("a variable's name is empty, or has a \"=\" in it")
        }
        let connection = try SSHConnection(to: try server(), until: .now + limit) { stop.reason != nil }
        let outcome = try connection.run(
            ShellWords.text(words, environment: environment), atMost: Script.longestOutput)
        guard outcome.exitCode == 0 else {
            throw StepFailure.ended(
                words[0], code: outcome.exitCode, signal: outcome.signal,
                complaint: String(decoding: outcome.complaint, as: UTF8.self))
        }
        guard let text = String(validating: outcome.output, as: UTF8.self) else {
            throw StepFailure("its output is no text")
        }
        return text
    }

    private func server() throws -> SSHServer {
        func text(_ template: Template, _ what: String) throws -> String {
            guard let text = try template.value(in: context).stringValue, !text.isEmpty else {
                throw StepFailure("ssh.\(what) is no text")
            }
            return text
        }
        let user = try ssh.user.map { try text($0, "user") } ?? environmentVariable("USER")
        guard let user else { throw StepFailure("ssh.user is missing, and so is USER") }
        let known = ssh.knownHostsFile ?? environmentVariable("HOME").map { "\($0)/.ssh/known_hosts" }
        guard let known else { throw StepFailure("ssh.knownHostsFile is missing, and so is HOME") }
        return SSHServer(
            host: try text(ssh.host, "host"), port: ssh.port, user: user, keyFile: ssh.keyFile, knownHostsFile: known)
    }
}
