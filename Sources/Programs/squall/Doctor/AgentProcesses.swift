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
        return ["squalld", "squall-gateway", "squall-runtimes"].map { command in
            guard let ids = running[command] else {
                return Check(
                    command, .missing, "does not run",
                    remedy: "see the agent's log; if it runs in another container, run this there")
            }
            return Check(command, .ok, "process \(ids.map(String.init).joined(separator: ", "))")
        }
    }

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
