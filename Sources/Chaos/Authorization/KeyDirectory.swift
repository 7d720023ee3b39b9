import ChaosModel
import Glibc
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

    /// Reads all files again if any has changed, and looks for that at most once a second.
    ///
    /// - Returns: Whether other keys are in force now.
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

    /// - Throws: Once for each change that cannot be loaded; `failure` keeps saying so.
    package mutating func reloadIfChanged(at now: BootInstant) throws(KeyDirectoryError) -> Bool {
        guard now >= nextLook else { return false }
        nextLook = now + .seconds(1)
        do throws(KeyDirectoryError) {
            let current = try Self.stamps(in: path)
            guard current != stamps else { return false }
            try load(current)
        } catch {
            guard error != failure else { return false }
            failure = error
            throw error
        }
        return true
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
        keys = try Self.load(current, in: path)
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
            let bytes = try read(path)
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
            for name in names { stamps.append(try FileStamp(name, in: directory)) }
            return stamps
        } catch {
            throw KeyDirectoryError(path: directory, reason: "\(error)")
        }
    }

    private static func read(_ path: String) throws(KeyDirectoryError) -> [UInt8] {
        do throws(SystemCallError) {
            // Of a FIFO, opening would otherwise wait for somebody to write.
            let file = try OwnedDescriptor.open(path, O_RDONLY | O_NONBLOCK)
            guard try file.status(subject: path).st_mode & S_IFMT == S_IFREG else {
                throw SystemCallError("read", on: path, errno: .invalidArgument)
            }
            // The file may grow while it is read: the length is bounded here, not by `fstat`.
            var bytes = [UInt8](repeating: 0, count: maximumFileLength + 1)
            var count = 0
            while count < bytes.count {
                let more = try systemCall("read", on: path) {
                    bytes.withUnsafeMutableBytes {
                        Glibc.read(file.rawValue, $0.baseAddress?.advanced(by: count), $0.count - count)
                    }
                }
                if more == 0 { break }
                count += more
            }
            guard count <= maximumFileLength else {
                throw SystemCallError("read", on: path, errno: Errno(rawValue: EFBIG))
            }
            return Array(bytes[..<count])
        } catch {
            throw KeyDirectoryError(path: path, reason: "\(error.call): \(error.errno)")
        }
    }
}

/// A key file that cannot be used, or a directory that cannot be read.
package struct KeyDirectoryError: Error, Hashable, Sendable, CustomStringConvertible {
    package let path: String
    package let reason: String

    package var description: String { "\(path): \(reason)" }
}

/// What changes when a file is written or replaced, also behind a symbolic link.
private struct FileStamp: Hashable {
    let name: String
    let inode: UInt64
    let size: Int
    /// The bytes of a `timespec`: compared, never read.
    let modified: [UInt8]

    /// The corresponding system call is `stat(2)`.
    init(_ name: String, in directory: String) throws(SystemCallError) {
        var status = stat()
        let path = "\(directory)/\(name)"
        try systemCall("stat", on: path) { stat(path, &status) }
        self.name = name
        inode = UInt64(status.st_ino)
        size = Int(status.st_size)
        modified = withUnsafeBytes(of: status.st_mtim) { Array($0) }
    }
}
