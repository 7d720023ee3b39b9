import Cgroups
import DeadMan
import LinuxSystem

/// The dead-man's processes that earlier engines left: one, mostly.
actor Predecessors {
    private var all: [DeadMansPredecessor] = []

    init(of mark: String, in cgroups: CgroupTree) {
        do {
            all = try DeadMansPredecessor.all(in: cgroups, mark: mark)
        } catch {
            // It undoes what it holds at the deadlines: what it finds undone by then is no error to it.
            log("a dead-man's process of an earlier engine may be left: \(error)")
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

    func end(undone: Set<UInt64>) {
        for each in all {
            do {
                if try !each.end(where: undone.contains) {
                    log("the dead-man's process \(each.processID) of an earlier engine still has something to undo")
                }
            } catch {
                log("the dead-man's process of an earlier engine stays until its last deadline: \(error)")
            }
        }
        all = []
    }
}
