internal import LinuxSystem

extension CgroupTree {
    /// How deep slices lie in slices: `system-a-b.slice` is the third level already.
    private static let deepest = 16

    /// The paths of the cgroups that systemd has made for its unit of this name.
    ///
    /// systemd alone makes slices, and puts units into them; what a unit makes below its own cgroup, a user's manager for
    /// example, is never looked into. Several are found only where somebody else has made slices, too.
    package func paths(ofUnit name: String) throws(CgroupOpeningError) -> [String] {
        do throws(SystemCallError) {
            return try paths(ofUnit: Self.directory(ofUnit: name), in: "", depth: 0)
        } catch {
            throw .system(error)
        }
    }

    /// Systemd's own rule (cg_escape): what might be a file of the kernel's there has a `_` before it.
    static func directory(ofUnit name: String) -> String {
        let controllers = [
            "cgroup", "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids", "freezer", "hugetlb",
            "rdma", "misc", "net_cls", "net_prio", "perf_event", "dmem",
        ]
        let isLikeFile = controllers.contains { name.hasPrefix("\($0).") }
        return isLikeFile || name.hasPrefix("_") || name.hasPrefix(".") ? "_\(name)" : name
    }

    private func paths(
        ofUnit name: String, in slice: String, depth: Int
    ) throws(SystemCallError) -> [String] {
        let entries: [String]
        do throws(SystemCallError) {
            // What is no cgroup among them is a file of the kernel's, which has no unit's name.
            let path = slice.isEmpty ? "/" : slice
            entries = try TextFile.names(in: try primary.directory(at: path), subject: "cgroup \(path)")
        } catch {
            // It was removed since.
            if depth > 0, error.errno == .noEntry || error.errno == .noDevice { return [] }
            throw error
        }
        var found = entries.contains(name) ? ["\(slice)/\(name)"] : []
        guard depth < Self.deepest else { return found }
        // What kubelet has there is pods', which are no units.
        for entry in entries where entry.hasSuffix(".slice") && !entry.hasPrefix("kubepods") {
            found += try paths(ofUnit: name, in: "\(slice)/\(entry)", depth: depth + 1)
        }
        return found
    }
}
