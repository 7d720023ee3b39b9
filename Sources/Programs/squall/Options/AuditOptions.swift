import ArgumentParser
import Audit
import ChaosModel
import Journal
import LinuxSystem

/// Which audit log.
struct AuditOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The agent's state directory, which the audit log is in.", valueName: "path"),
        completion: .directory)
    var stateDirectory = Journal.standardDirectory

    func read(_ each: (JSON) -> Void = { _ in }) throws(Failure) -> AuditScan {
        do throws(SystemCallError) {
            return try AuditScan(of: stateDirectory, each: each)
        } catch {
            throw Failure(
                .invalid, "cannot read the audit log in \(stateDirectory): \(error)", field: "--state-directory",
                hint:
                    "run this as root on the node or in the agent's container, and name the directory that squalld was given"
            )
        }
    }
}
