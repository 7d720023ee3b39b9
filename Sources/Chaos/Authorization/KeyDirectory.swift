import ChaosModel
package import LinuxSystem

/// The tenants' public keys as files `TENANT.jwks.json` in one directory, looked at again while the agent runs.
/// One bad file refuses the whole load: then what was in force before stays in force.
package struct KeyDirectory: Sendable {
    package static let maximumFileLength = 65536
    private static let suffix = ".jwks.json"

    package let path: String
    package private(set) var keys: TenantKeys
    /// Why the directory as it is now is not in force; nil when it is.
    package private(set) var failure: KeyDirectoryError?
    private var stamps: [FileStamp]
    private var nextLook: BootInstant

    package init(loading path: String) throws(KeyDirectoryError) {
        self.path = path
        // Before the files are read: a change while they are read is then seen as one.
        stamps = try Self.stamps(in: path)
        keys = try Self.load(stamps, in: path)
        nextLook = .now
    }

    /// A directory that is looked at from now on, whether or not its keys can be loaded now: `failure` says why not.
    package init(watching path: String) {
        self.path = path
        keys = TenantKeys()
        stamps = []
        nextLook = .now
        do throws(KeyDirectoryError) {
            try reload()
        } catch {
            failure = error
        }
    }

    /// Reads all files again if any has changed, and looks for that at most once a second.
    ///
    /// - Returns: Whether other keys are in force now.
    /// - Throws: Once for each change that cannot be loaded; `failure` keeps saying so.
    package mutating func reloadIfChanged(at now: BootInstant) throws(KeyDirectoryError) -> Bool {
        guard now >= nextLook else { return false }
        nextLook = now + .seconds(1)
        do throws(KeyDirectoryError) {
            let current = try Self.stamps(in: path)
            // What could not be read for a moment is read again.
            guard current != stamps || failure != nil else { return false }
            try load(current)
        } catch {
            guard error != failure else { return false }
            failure = error
            throw error
        }
        return true
    }

    /// Whether the files are others than those in force.
    package var isOutdated: Bool {
        do throws(KeyDirectoryError) {
            return try Self.stamps(in: path) != stamps || failure != nil
        } catch {
            return true
        }
    }

    /// Reads all files again.
    package mutating func reload() throws(KeyDirectoryError) {
        do throws(KeyDirectoryError) {
            try load(Self.stamps(in: path))
        } catch {
            failure = error
            throw error
        }
    }

    private mutating func load(_ current: [FileStamp]) throws(KeyDirectoryError) {
        stamps = current
        do throws(KeyDirectoryError) {
            keys = try Self.load(current, in: path)
        } catch {
            // Whose file is gone is trusted no more, whatever is wrong with another's.
            let names = Set(current.map(\.name))
            keys.keep { names.contains($0.name + Self.suffix) }
            throw error
        }
        failure = nil
    }

    private static func load(_ stamps: [FileStamp], in directory: String) throws(KeyDirectoryError) -> TenantKeys {
        var keys = TenantKeys()
        for stamp in stamps {
            let path = "\(directory)/\(stamp.name)"
            guard let tenant = Tenant(stamp.name.dropLast(suffix.count)) else {
                throw KeyDirectoryError(
                    path: path,
                    reason: "a tenant's name is 1 to 63 lower-case letters, digits and inner hyphens")
            }
            let bytes: [UInt8]
            do throws(SystemCallError) {
                bytes = try ConfigurationFile.read(path, atMost: maximumFileLength)
            } catch {
                throw KeyDirectoryError(path: path, reason: "\(error.call): \(error.errno)")
            }
            do throws(KeySetError) {
                try keys.add(jwks: bytes, of: tenant)
            } catch {
                throw KeyDirectoryError(path: path, reason: "\(error)")
            }
        }
        return keys
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
