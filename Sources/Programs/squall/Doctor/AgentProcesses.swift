import LinuxSystem

/// The agent's processes, as `/proc` shows them here.
enum AgentProcesses {
    static func checks() -> [Check] {
        let running: [String: [Int32]]
        do throws(SystemCallError) {
            running = try processesByCommand()
        } catch {
            return [Check("processes", .warning, "cannot be listed: \(error)")]
        }
        return names.map { command in
            guard let ids = running[command] else {
                return Check(
                    command, .missing, "does not run",
                    remedy: "see the agent's log; if it runs in another container, run this there")
            }
            return Check(command, .ok, "process \(ids.map(String.init).joined(separator: ", "))")
        } + [filters(of: running)]
    }

    /// Each process but the first, which starts the others, has loaded a filter of its own.
    ///
    /// The corresponding field is `Seccomp` of `/proc/PID/status`.
    private static func filters(of running: [String: [Int32]]) -> Check {
        let name = "system-call filters"
        var bare: [String] = []
        do throws(SystemCallError) {
            for command in names {
                for id in running[command] ?? [] {
                    // Every process's parent but that of the first is the agent.
                    if command == "squalld",
                        try ProcessFacts(ofProcess: ProcessFacts(ofProcess: id).parent).command != command
                    {
                        continue
                    }
                    let lines = try TextFile.read("/proc/\(id)/status").split(separator: "\n")
                    if !lines.contains("Seccomp:\t2") { bare.append("\(command) (process \(id))") }
                }
            }
        } catch  where error.errno == .noEntry || error.errno == .noProcess {
            return Check(name, .warning, "a process of the agent has just ended", remedy: "ask again")
        } catch {
            return Check(name, .warning, "\(error)")
        }
        guard bare.isEmpty else {
            return Check(
                name, .warning, "none is loaded in \(bare.joined(separator: ", "))",
                remedy: "is that a process of the agent? see its log")
        }
        return Check(name, .ok, "loaded in every process that serves")
    }

    private static let names = ["squalld", "squall-gateway", "squall-runtimes"]

    private static func processesByCommand() throws(SystemCallError) -> [String: [Int32]] {
        var running: [String: [Int32]] = [:]
        for id in try TextFile.names(in: "/proc").compactMap({ Int32($0) }) {
            do throws(SystemCallError) {
                running[try ProcessFacts(ofProcess: id).command, default: []].append(id)
            } catch  where error.errno == .noEntry || error.errno == .noProcess {
                continue  // It has ended meanwhile.
            }
        }
        return running
    }
}
