import ChaosModel
package import LinuxSystem
import Signatures

/// The tenants' public keys as files `TENANT.jwks.json` in one directory, looked at again while the agent runs.
/// A bad file is its tenant's alone: of that tenant what was in force before stays in force, as long as there is a file.
package struct KeyDirectory: Sendable {
    package static let maximumFileLength = 65536
    private static let suffix = ".jwks.json"

    package let path: String
    package private(set) var keys: TenantKeys
    /// Why the directory as it is now is not in force, or not all of it; empty when it is.
    package private(set) var failures: [KeyDirectoryError] = []
    private var stamps: [FileStamp]
    private var nextLook: BootInstant

    /// A directory that is looked at from now on, whether or not all its keys can be loaded now: `failures` says why not.
    package init(watching path: String) {
        self.path = path
        keys = TenantKeys()
        stamps = []
        nextLook = .now
        reload()
    }

    /// Reads all files again if any has changed, and looks for that at most once a second.
    ///
    /// - Returns: Whether other keys are in force now, and what is wrong that was not before; `failures` keeps saying so.
    package mutating func reloadIfChanged(
        at now: BootInstant
    ) -> (hasChanged: Bool, problems: [KeyDirectoryError]) {
        guard now >= nextLook else { return (false, []) }
        nextLook = now + .seconds(1)
        // What could not be read for a moment is read again.
        guard isOutdated else { return (false, []) }
        let known = (signers: keys.signers, failures: Set(failures))
        reload()
        return (keys.signers != known.signers, failures.filter { !known.failures.contains($0) })
    }

    /// Whether the files are others than those in force.
    package var isOutdated: Bool {
        do throws(KeyDirectoryError) {
            return try Self.stamps(in: path) != stamps || !failures.isEmpty
        } catch {
            return true
        }
    }

    /// Reads all files again.
    package mutating func reload() {
        do throws(KeyDirectoryError) {
            // Before the files are read: a change while they are read is then seen as one.
            stamps = try Self.stamps(in: path)
        } catch {
            failures = [error]
            return
        }
        failures = []
        var sets: [(tenant: Tenant, path: String, keys: [PublicKey])] = []
        var fresh = TenantKeys()
        for stamp in stamps {
            let file = "\(path)/\(stamp.name)"
            guard let tenant = Tenant(stamp.name.dropLast(Self.suffix.count)) else {
                let reason = "a tenant's name is 1 to 63 lower-case letters, digits and inner hyphens"
                failures.append(KeyDirectoryError(path: file, reason: reason))
                continue
            }
            do throws(KeyDirectoryError) {
                sets.append((tenant, file, try Self.read(file, of: tenant)))
            } catch {
                failures.append(error)
                fresh.add(from: keys, of: tenant)
            }
        }
        // Whose it is when two claim a name, nobody can tell.
        let owners = Dictionary(grouping: sets.flatMap { set in set.keys.map { ($0.id, set.tenant) } }, by: \.0)
            .mapValues { $0.map(\.1) }
        for set in sets {
            do throws(KeySetError) {
                for key in set.keys {
                    guard let other = owners[key.id]?.first(where: { $0 != set.tenant }) else { continue }
                    throw .ambiguousKeyID(key.id, other: other)
                }
                try fresh.add(set.keys, of: set.tenant)
            } catch {
                failures.append(KeyDirectoryError(path: set.path, reason: "\(error)"))
                fresh.add(from: keys, of: set.tenant)
            }
        }
        keys = fresh
    }

    private static func read(_ path: String, of tenant: Tenant) throws(KeyDirectoryError) -> [PublicKey] {
        let bytes: [UInt8]
        do throws(SystemCallError) {
            bytes = try ConfigurationFile.read(path, atMost: maximumFileLength)
        } catch {
            throw KeyDirectoryError(path: path, reason: "\(error.call): \(error.errno)")
        }
        do throws(KeySetError) {
            return try TenantKeys.set(jwks: bytes, of: tenant)
        } catch {
            throw KeyDirectoryError(path: path, reason: "\(error)")
        }
    }

    /// Files that begin with a dot are not keys: a mounted Kubernetes Secret keeps its versions in such.
    private static func stamps(in directory: String) throws(KeyDirectoryError) -> [FileStamp] {
        do throws(SystemCallError) {
            let names = try TextFile.names(in: directory).filter { $0.hasSuffix(suffix) && !$0.hasPrefix(".") }
            var stamps: [FileStamp] = []
            for name in names { stamps.append(try FileStamp(of: name, in: directory)) }
            return stamps
        } catch {
            throw KeyDirectoryError(path: directory, reason: "\(error)")
        }
    }
}

/// A key file that cannot be used, or a directory that cannot be read.
package struct KeyDirectoryError: Error, Hashable, Sendable, CustomStringConvertible {
    package let path: String
    package let reason: String

    package var description: String { "\(path): \(reason)" }
}
