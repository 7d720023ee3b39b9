package import Cgroups
internal import Glibc
internal import LinuxSystem
internal import WorkerProtocol

/// A worker that an earlier engine may have started, found by the identity that we give to workers: the arguments name
/// the session, and the program is a memfd of ours.
package struct FoundWorker: Hashable, Sendable {
    package let id: Int32
    package let startTime: UInt64
    package let session: String
}

/// The workers of a session in a cgroup.
///
/// - Throws: When a process there could not be looked at: no worker is overlooked in silence.
package func workers(in cgroup: Cgroup, session: String) throws(WorkerEndError) -> [FoundWorker] {
    let processes: [Int32]
    do throws(CgroupFileError) {
        processes = try cgroup.processes()
    } catch {
        throw .cgroup(error)
    }
    var found: [FoundWorker] = []
    for id in processes {
        do throws(SystemCallError) {
            if let worker = try FoundWorker(process: id), worker.session == session { found.append(worker) }
        } catch let error where error.errno == .noEntry || error.errno == .noProcess {
            continue  // It ended just now.
        } catch {
            throw .system(error)
        }
    }
    return found
}

extension FoundWorker {
    /// Nil when the process is no worker.
    fileprivate init?(process id: Int32) throws(SystemCallError) {
        let startTime = try ProcessFacts(ofProcess: id).startTime
        // Asked first: arguments are in the process's own memory, which it can make anybody wait for who reads it.
        guard try TextFile.destination(ofLink: "/proc/\(id)/exe").hasPrefix("/memfd:\(WorkerOrder.programName)") else {
            return nil
        }
        let arguments = try TextFile.read("/proc/\(id)/cmdline").split(separator: "\0")
        guard arguments.count >= 2, arguments[0] == WorkerOrder.programName else { return nil }
        self.init(id: id, startTime: startTime, session: String(arguments[1]))
    }

    /// Kills it and waits for its end. That it had ended before is as good.
    package func end(atMost limit: Duration) throws(WorkerEndError) {
        do throws(SystemCallError) {
            let handle = try ProcessHandle(openingProcess: id)
            // The number may have passed to another process before there was a handle.
            guard try FoundWorker(process: id) == self else { return }
            if try handle.kill(waitingAtMost: limit) { return }
        } catch let error where error.errno == .noEntry || error.errno == .noProcess {
            return
        } catch {
            throw .system(error)
        }
        throw .stillRunning(process: id)
    }
}
