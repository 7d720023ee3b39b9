internal import Glibc
package import LinuxSystem

/// A cgroup held as open directories, so that another one that takes its path later is not mistaken for it.
package final class Cgroup: Sendable {
    /// From the root of the hierarchy, as `/kubepods/burstable/…`.
    package let path: String
    /// The inode of its directory, in the `cpu` hierarchy on v1. On v2 the kernel uses it as the cgroup's id.
    package let id: UInt64
    package let layout: CgroupTree.Layout
    /// Every process of the machine is in it or below. It has no limits, and few files.
    package var isRoot: Bool { path == "/" }
    private let primary: Hierarchy
    /// Its directory in each hierarchy that has one at this path, the primary one first.
    private let directories: [CgroupDirectory]

    fileprivate init(atNormalized path: String, in tree: CgroupTree) throws(CgroupOpeningError) {
        do throws(SystemCallError) {
            let own = CgroupDirectory(tree.primary, try tree.primary.directory(at: path))
            var directories = [own]
            for hierarchy in tree.hierarchies where hierarchy !== tree.primary {
                do {
                    directories.append(CgroupDirectory(hierarchy, try hierarchy.directory(at: path)))
                } catch let error where error.errno == .noEntry {
                    continue
                }
            }
            self.id = UInt64(try own.descriptor.status(subject: "cgroup \(path)").st_ino)
            self.directories = directories
        } catch {
            throw .system(error)
        }
        self.path = path
        layout = tree.layout
        primary = tree.primary
    }

    /// Whether the path still leads to this cgroup: false when it was removed, also when another took its place.
    package func exists() throws(SystemCallError) -> Bool {
        do {
            let now = try primary.directory(at: path)
            return UInt64(try now.status(subject: "cgroup \(path)").st_ino) == id
        } catch let error where error.errno == .noEntry {
            return false
        }
    }

    /// The processes in it, not those in cgroups below. A number alone names no process.
    package func processes() throws(CgroupFileError) -> [Int32] {
        let text = try read("cgroup.procs", in: directories[0], of: nil)
        // A process that this pid namespace does not contain is listed as 0.
        return text.split(separator: "\n").compactMap { Int32($0) }.filter { $0 > 0 }
    }

    /// Reads an interface file of a controller.
    package func read(_ file: String, of controller: CgroupController) throws(CgroupFileError) -> String {
        try read(file, in: try directory(of: controller, for: file), of: controller)
    }

    /// The same; nil where the controller is off for this cgroup, or lacks this file.
    func readIfEnabled(_ file: String, of controller: CgroupController) throws(CgroupFileError) -> String? {
        do throws(CgroupFileError) {
            return try read(file, of: controller)
        } catch {
            if case .notEnabled = error { return nil }
            throw error
        }
    }

    /// Writes an interface file of a controller, in one call.
    package func write(
        _ text: String, to file: String, of controller: CgroupController
    ) throws(CgroupFileError) {
        let directory = try directory(of: controller, for: file)
        do throws(SystemCallError) {
            try TextFile.write(text, to: file, in: directory.descriptor)
        } catch {
            throw explained(error, file: file, of: controller)
        }
    }

    /// Opens an interface file of a controller, for whoever is to use it when this process cannot.
    package func open(
        _ file: String, of controller: CgroupController, _ flags: Int32
    ) throws(CgroupFileError) -> OwnedDescriptor {
        let directory = try directory(of: controller, for: file)
        do throws(SystemCallError) {
            return try directory.descriptor.openEntry(file, flags)
        } catch {
            throw explained(error, file: file, of: controller)
        }
    }

    /// Reads a file of the nearest cgroup upwards, this one first, that has it; nil when not even the root does.
    func readNearest(_ file: String) throws(CgroupFileError) -> String? {
        try readUpwards(file, until: { _ in true }).first?.text
    }

    /// Reads a file of this cgroup and of each above that has it, until the closure says that it has seen enough.
    func readUpwards(
        _ file: String, until isEnough: (String) -> Bool
    ) throws(CgroupFileError) -> [(path: String, text: String)] {
        var names = path.split(separator: "/")
        var found: [(path: String, text: String)] = []
        do throws(SystemCallError) {
            while true {
                let path = "/" + names.joined(separator: "/")
                let directory = try primary.directory(at: path)
                do throws(SystemCallError) {
                    found.append((path, try TextFile.read(file, in: directory)))
                } catch let error where error.errno == .noEntry {}
                if let last = found.last, isEnough(last.text) { return found }
                if names.popLast() == nil { return found }
            }
        } catch {
            throw explained(error, file: file, of: nil)
        }
    }

    /// Where a new process of this cgroup is put.
    package func placement() throws(CgroupFileError) -> CgroupPlacement {
        switch layout {
        case .unified: return .directory(directories[0])
        case .perController:
            do throws(SystemCallError) {
                var files: [CgroupProcessFile] = []
                for directory in directories { files.append(try CgroupProcessFile(of: directory)) }
                return .processFiles(files)
            } catch {
                throw explained(error, file: "cgroup.procs", of: nil)
            }
        }
    }

    private func directory(of controller: CgroupController, for file: String) throws(CgroupFileError) -> CgroupDirectory
    {
        switch layout {
        case .unified: return directories[0]
        case .perController:
            let directory = directories.first { $0.hierarchy.names.contains(controller.separateName) }
            guard let directory else { throw .notEnabled(controller, file: file, path: path) }
            return directory
        }
    }

    private func read(
        _ file: String, in directory: CgroupDirectory, of controller: CgroupController?
    ) throws(CgroupFileError) -> String {
        do throws(SystemCallError) {
            return try TextFile.read(file, in: directory.descriptor)
        } catch {
            throw explained(error, file: file, of: controller)
        }
    }

    /// An open directory outlives its cgroup: then its files are missing (`ENOENT`), and open ones dead (`ENODEV`).
    private func explained(_ error: SystemCallError, file: String, of controller: CgroupController?) -> CgroupFileError
    {
        guard error.errno == .noEntry || error.errno == .noDevice else {
            return .system(SystemCallError(error.call, on: "\(error.subject) of cgroup \(path)", errno: error.errno))
        }
        do throws(SystemCallError) {
            guard let controller, try exists() else { return .gone(path: path) }
            return .notEnabled(controller, file: file, path: path)
        } catch {
            return .system(error)
        }
    }

    fileprivate static func normalized(_ path: String) throws(CgroupOpeningError) -> String {
        guard path.first == "/", !path.utf8.contains(0) else { throw .malformed(path: path) }
        let names = path.split(separator: "/")
        if names.first == ".." { throw .outsideNamespace(path: path) }
        if names.contains("..") || names.contains(".") { throw .malformed(path: path) }
        if names.isEmpty { throw .root }
        return "/" + names.joined(separator: "/")
    }
}

extension CgroupTree {
    /// Opens a cgroup by its path from the root of the hierarchy.
    package func cgroup(at path: String) throws(CgroupOpeningError) -> Cgroup {
        try Cgroup(atNormalized: try Cgroup.normalized(path), in: self)
    }

    /// The one that every process of the machine is in or below.
    package func rootCgroup() throws(CgroupOpeningError) -> Cgroup {
        try Cgroup(atNormalized: "/", in: self)
    }

    /// Opens the cgroup that a process is in. Hold a `ProcessHandle` first, and see afterwards that it still runs.
    package func cgroup(ofProcess id: Int32) throws(CgroupOpeningError) -> Cgroup {
        try cgroup(at: try path(ofProcess: id))
    }

    /// Where a process is, from the root of the hierarchy. A number alone names no process.
    package func path(ofProcess id: Int32) throws(CgroupOpeningError) -> String {
        let file = "/proc/\(id)/cgroup"
        let text: String
        do {
            text = try TextFile.read(file)
        } catch {
            throw .system(error)
        }
        // 4:cpu,cpuacct:/path on v1, 0::/path on v2.
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            switch layout {
            case .unified where fields[0] == "0": return String(fields[2])
            case .perController where fields[1].split(separator: ",").contains("cpu"): return String(fields[2])
            case .unified, .perController: continue
            }
        }
        throw .system(SystemCallError("parse", on: file, errno: .invalidArgument))
    }
}
