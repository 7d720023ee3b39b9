import ChaosModel
import ExperimentModel
import Glibc
import LinuxSystem
import YAML

/// A catalogue of experiments in a folder: `NAME/VERSION/experiment.yaml`, with whatever files an experiment needs beside it, and
/// `NAME/hub.yaml`, which says for which tenants it is. A Git repository is one when it is checked out.
package struct Hub: Sendable {
    package static let kind = "HubEntry"
    private static let experimentFile = "experiment.yaml"
    private static let entryFile = "hub.yaml"

    package struct Entry: Sendable {
        package let name: String
        /// The newest last; never empty.
        package let versions: [HubVersion]
        /// Nil for everybody.
        package let tenants: [String]?
        /// Of the newest.
        package let description: String?

        package var newest: HubVersion { versions[versions.count - 1] }

        /// - Parameter tenant: Nil for who looks at all.
        package func isFor(_ tenant: String?) -> Bool {
            guard let tenant, let tenants else { return true }
            return tenants.contains(tenant)
        }
    }

    package let folder: String

    /// - Throws: When there is no such folder.
    package init(_ folder: String) throws(HubError) {
        var status = stat()
        guard stat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw HubError("\(folder) is no folder")
        }
        self.folder = folder
    }

    /// All experiments, by their names.
    ///
    /// - Parameter complain: Is told of what is in the folder, and is no experiment.
    package func entries(complain: (HubError) -> Void) throws(HubError) -> [Entry] {
        var entries: [Entry] = []
        for name in try names(in: folder) where Experiment.isName(name) {
            do throws(HubError) {
                if let entry = try entry(name) { entries.append(entry) }
            } catch {
                complain(error)
            }
        }
        return entries
    }

    /// Nil for a folder without any version.
    package func entry(_ name: String) throws(HubError) -> Entry? {
        guard Experiment.isName(name) else { throw HubError("\"\(name.cut(to: 64))\" is no experiment's name") }
        guard access("\(folder)/\(name)", F_OK) == 0 else { return nil }
        let versions = try names(in: "\(folder)/\(name)").compactMap { HubVersion($0) }.sorted()
        guard let newest = versions.last else { return nil }
        let experiment = try experiment(name, newest)
        return Entry(
            name: name, versions: versions, tenants: try tenants(of: name), description: experiment.description)
    }

    private func names(in folder: String) throws(HubError) -> [String] {
        do throws(SystemCallError) {
            return try TextFile.names(in: folder).sorted()
        } catch {
            throw HubError("cannot read \(folder): \(error.errno)")
        }
    }

    private func experiment(_ name: String, _ version: HubVersion) throws(HubError) -> Experiment {
        let experiment = try Self.experiment(in: "\(folder)/\(name)/\(version)")
        guard experiment.name == name else {
            throw HubError("\(folder)/\(name)/\(version) has an experiment that is called \(experiment.name)")
        }
        return experiment
    }

    private static func experiment(in folder: String) throws(HubError) -> Experiment {
        let file = "\(folder)/\(experimentFile)"
        let text: String
        do throws(SystemCallError) {
            text = try TextFile.read(file, atMost: Experiment.maximumLength)
        } catch {
            throw HubError("cannot read \(file): \(error.errno)")
        }
        do throws(YAMLError) {
            return try Experiment(yaml: Array(text.utf8))
        } catch {
            throw HubError("\(file): \(error)")
        }
    }

    private func tenants(of name: String) throws(HubError) -> [String]? {
        let file = "\(folder)/\(name)/\(Self.entryFile)"
        guard access(file, F_OK) == 0 else { return nil }
        do throws(YAMLError) {
            let text: String
            do throws(SystemCallError) {
                text = try TextFile.read(file, atMost: 1 << 16)
            } catch {
                throw YAMLError("it cannot be read: \(error.errno)", line: 1)
            }
            var document = try YAMLSection(try YAMLNode(parsing: Array(text.utf8)), at: "")
            for (name, value) in [("apiVersion", Experiment.apiVersion), ("kind", Self.kind)] {
                let place = try document.required(name)
                guard place.json == .string(value) else { throw place.refusal("this is \(value)") }
            }
            let place = try document.required("tenants")
            try document.refuseUntaken()
            return try place.list("tenants", of: "a tenant's name") { Tenant($0)?.name }
        } catch {
            throw HubError("\(file): \(error)")
        }
    }

    // MARK: Going in and out

    /// Copies a version's files into a new folder.
    ///
    /// - Parameters:
    ///   - version: Nil for the newest.
    ///   - tenant: For whom; nil for who may have all.
    /// - Returns: Which version it was.
    package func pull(
        _ name: String, _ version: HubVersion?, for tenant: String?, to target: String
    ) throws(HubError) -> HubVersion {
        guard let entry = try entry(name), entry.isFor(tenant) else {
            throw HubError("\(folder) has no experiment \(name)\(tenant.map { " for \($0)" } ?? "")")
        }
        let wanted = version ?? entry.newest
        guard entry.versions.contains(wanted) else {
            let all = entry.versions.map(\.description).joined(separator: ", ")
            throw HubError("\(name) has no version \(wanted): there are \(all)")
        }
        _ = try experiment(name, wanted)
        try FileTree(of: "\(folder)/\(name)/\(wanted)").write(to: target)
        return wanted
    }

    /// Puts a folder with an experiment into the catalogue. A version that is there stays as it is.
    ///
    /// - Parameter tenants: For whom it is from now on; empty for as it was, and for everybody where it is new.
    /// - Returns: The experiment's name.
    package func publish(_ source: String, as version: HubVersion, for tenants: [String]) throws(HubError) -> String {
        let name = try Self.experiment(in: source).name
        let target = "\(folder)/\(name)/\(version)"
        guard access(target, F_OK) != 0 else { throw HubError("\(name) has a version \(version) already") }
        let files = try FileTree(of: source)
        do throws(SystemCallError) {
            if access("\(folder)/\(name)", F_OK) != 0 {
                try systemCall("mkdir", on: name) { mkdir("\(folder)/\(name)", 0o755) }
            }
            if !tenants.isEmpty {
                let text = """
                    apiVersion: \(Experiment.apiVersion)
                    kind: \(Self.kind)
                    tenants: [\(tenants.joined(separator: ", "))]

                    """
                let file = "\(folder)/\(name)/\(Self.entryFile)"
                try OwnedDescriptor.open(file, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
                    .writeAll(Array(text.utf8), subject: file)
            }
        } catch {
            throw HubError("cannot publish \(name): \(error.errno)")
        }
        try files.write(to: target)
        return name
    }
}
