extension Cgroup {
    /// Whether its processes are stopped by the freezer, by this cgroup's state or by that of one above.
    package func isFrozen() throws(CgroupFileError) -> Bool {
        if isRoot { return false }
        switch layout {
        case .unified:
            return try read("cgroup.events", of: .freezer).split(separator: "\n").contains("frozen 1")
        case .perController:
            do throws(CgroupFileError) {
                // FREEZING has stopped some of them already, and every new one.
                return try !read("freezer.state", of: .freezer).hasPrefix("THAWED")
            } catch {
                // In no freezer cgroup at this path, so in one that it shares with others.
                if case .notEnabled = error { return false }
                throw error
            }
        }
    }
}
