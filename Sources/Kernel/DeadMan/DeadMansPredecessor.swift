internal import CLinux
package import Cgroups
internal import Glibc
package import LinuxSystem

/// A dead-man's process that an earlier engine of this agent left, with what was entrusted to it.
package final class DeadMansPredecessor {
    private let process: ProcessHandle
    private let memory: DeadMansMemory
    private var claims: [Int: SlotOwner] = [:]

    private init(_ process: consuming ProcessHandle, _ memory: DeadMansMemory) {
        self.process = process
        self.memory = memory
    }

    package var processID: Int32 { process.id }

    /// Those of the agent with this mark.
    ///
    /// - Throws: When it cannot be told whether there are any.
    package static func all(in tree: CgroupTree, mark: String) throws -> [DeadMansPredecessor] {
        let cgroup: Cgroup
        do throws(CgroupOpeningError) {
            cgroup = try tree.cgroup(at: "/\(DeadMansProcess.cgroup)")
        } catch {
            if case .system(let error) = error, error.errno == .noEntry { return [] }
            throw error
        }
        var found: [DeadMansPredecessor] = []
        for id in try cgroup.processes() {
            do throws(SystemCallError) {
                let process = try ProcessHandle(openingProcess: id)
                let words = try TextFile.read("/proc/\(id)/cmdline").split(separator: "\0")
                let program = try TextFile.destination(ofLink: "/proc/\(id)/exe")
                guard words.count == 3, words[0] == "squall-deadman", words[1] == mark,
                    program.hasPrefix("/memfd:squall-deadman"), let memory = try DeadMansMemory(ofProcess: id),
                    process.isRunning
                else { continue }
                found.append(DeadMansPredecessor(process, memory))
            } catch {
                // It ended, all undone.
                guard [.noProcess, .noEntry].contains(error.errno) else { throw error }
            }
        }
        return found
    }

    /// Takes everything that is entrusted to it, for as long as a claim lasts.
    package func claimAll() {
        forEachSlot { index in
            let claim = SlotOwner.claimed(until: .now + DeadMansProcess.claim)
            let owner = memory.owner(of: index)
            if owner == .armed || owner.isClaim, memory.change(index, from: owner, to: claim) { claims[index] = claim }
        }
    }

    /// Takes from it what is undone, and ends it if that was all. What nobody else knows of it undoes at its deadline.
    ///
    /// - Parameter isUndone: By the tag that a slot was given.
    /// - Returns: Whether it has ended.
    package func end(where isUndone: (UInt64) -> Bool) throws(SystemCallError) -> Bool {
        var isEmpty = true
        forEachSlot { index in
            guard let claim = claims[index] else { return }
            let isOver = isUndone(memory.tag(of: index))
            if !memory.change(index, from: claim, to: isOver ? .free : .armed) || !isOver { isEmpty = false }
        }
        guard isEmpty else { return false }
        guard try process.kill(waitingAtMost: .seconds(1)) else {
            throw SystemCallError("kill", on: "process \(process.id)", errno: .timedOut)
        }
        return true
    }

    /// What was entrusted to it: files to be freed, and the kernel's own; sockets and processes too.
    ///
    /// - Throws: Also `EPERM`, where the kernel lets nobody look into others.
    ///
    /// The corresponding system call is `pidfd_getfd(2)`: of this process and no other that takes its number.
    package func entrusted() throws(SystemCallError) -> [OpenFile] {
        var files: [OpenFile] = []
        do throws(SystemCallError) {
            for name in try TextFile.names(in: "/proc/\(process.id)/fd") {
                guard let number = Int32(name), number > DEADMAN_CGROUPS else { continue }
                do throws(SystemCallError) {
                    files.append(OpenFile(try process.duplicate(descriptor: number)))
                } catch {
                    // What is gone meanwhile was undone.
                    if error.errno.rawValue != EBADF { throw error }
                }
            }
        } catch {
            // It has ended, all undone.
            guard [.noProcess, .noEntry].contains(error.errno) else { throw error }
        }
        return files
    }

    package final class OpenFile: Sendable {
        package let descriptor: OwnedDescriptor
        fileprivate init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
    }

    private func forEachSlot(_ body: (Int) -> Void) {
        guard let used = memory.usedSlots else { return }
        var index = used.lowerBound
        while index <= used.upperBound {
            // What follows it may be the rest of a long program.
            let next = index + memory.span(of: index)
            body(index)
            index = next
        }
    }
}
