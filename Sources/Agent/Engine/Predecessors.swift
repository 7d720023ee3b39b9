import Cgroups
import DeadMan
import Filesystems
import LinuxSystem

/// The dead-man's processes that earlier engines left: one, mostly.
actor Predecessors {
    private var all: [DeadMansPredecessor] = []

    init(of mark: String, in cgroups: CgroupTree) {
        do {
            all = try DeadMansPredecessor.all(in: cgroups, mark: mark)
        } catch {
            // It undoes what it holds at the deadlines: what it finds undone by then is no error to it.
            log("a dead-man's process of an earlier engine may be left: \(error)", .warning)
        }
    }

    func claimAll() {
        for each in all { each.claimAll() }
    }

    /// Until the task is cancelled.
    func keepClaiming() async {
        while !Task.isCancelled, !all.isEmpty {
            try? await Task.sleep(for: DeadMansProcess.claim / 4)
            if !Task.isCancelled { claimAll() }
        }
    }

    /// Frees the files that they hold open: recovery finds a file by its name, and the target may have given it another.
    ///
    /// - Returns: Whether nothing is left in any of them.
    func emptyFiles() async -> Bool {
        var areAllFree = true
        var files: [DeadMansPredecessor.OpenFile] = []
        for each in all {
            do throws(SystemCallError) {
                files += try each.entrusted()
            } catch {
                log(
                    "what the dead-man's process \(each.processID) of an earlier engine holds is not known: \(error)",
                    .warning)
                areAllFree = false
            }
        }
        return await withTaskGroup(of: Bool.self) { group in
            for (index, file) in files.enumerated() {
                // A few at a time: each may wait for a file system.
                if index >= Self.mostAtOnce, let isFree = await group.next() { areAllFree = areAllFree && isFree }
                group.addTask { await Self.empty(file) }
            }
            return await group.reduce(areAllFree) { $0 && $1 }
        }
    }

    private static let mostAtOnce = 16

    private static func empty(_ file: DeadMansPredecessor.OpenFile) async -> Bool {
        let subject = "a file of an earlier engine"
        do throws(SystemCallError) {
            try await inTime(on: subject, isUndoing: true) { () throws(SystemCallError) in
                try file.descriptor.emptyIfFile(subject: subject)
            }
            return true
        } catch {
            log("a file that an earlier engine made was not freed: \(error)", .warning)
            return false
        }
    }

    func end(undone: Set<UInt64>) {
        for each in all {
            do {
                if try !each.end(where: undone.contains) {
                    log(
                        "the dead-man's process \(each.processID) of an earlier engine still has something to undo",
                        .warning)
                }
            } catch {
                log("the dead-man's process of an earlier engine stays until its last deadline: \(error)", .warning)
            }
        }
        all = []
    }
}
