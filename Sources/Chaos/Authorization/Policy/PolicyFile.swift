import ChaosModel
package import LinuxSystem
import Signatures
import YAML

/// The policy as a file, looked at again while the agent runs. A bad file is refused whole: then what was in force
/// before stays in force, and before there ever was a good one nobody may do anything.
package struct PolicyFile: Sendable {
    package let path: String
    package private(set) var policy = Policy()
    /// Why the file as it is now is not in force; nil when it is.
    package private(set) var failure: String?
    /// SHA-256 of the file in force, in hexadecimal digits; nil before there is one.
    package private(set) var hash: String?
    private let faults: FaultParameters
    private var stamp: FileStamp?
    private var nextLook: BootInstant

    /// - Parameter faults: What there is to allow.
    package init(watching path: String, faults: FaultParameters) {
        self.path = path
        self.faults = faults
        nextLook = .now
        _ = reloadIfChanged(at: .now)
    }

    /// Whether the file is another than the one that was read last.
    package var isOutdated: Bool {
        do throws(SystemCallError) {
            return try FileStamp(of: path) != stamp
        } catch {
            return stamp != nil
        }
    }

    /// Reads the file again if it has changed, and looks for that at most once a second.
    ///
    /// - Returns: Whether another policy is in force now, or another reason why none is.
    package mutating func reloadIfChanged(at now: BootInstant) -> Bool {
        guard now >= nextLook else { return false }
        nextLook = now + .seconds(1)
        let before = failure
        do throws(SystemCallError) {
            // Before the file is read: a change while it is read is then seen as one.
            let current = try FileStamp(of: path)
            guard current != stamp else { return false }
            let bytes = try ConfigurationFile.read(path, atMost: Policy.maximumLength)
            stamp = current
            do throws(YAMLError) {
                policy = try Policy(yaml: bytes, faults: faults)
                failure = nil
                // Without memory nothing else goes on, either.
                hash = try? SHA256.hex(of: bytes)
                return true
            } catch {
                // Told to whoever asks, and no longer than that fits.
                failure = "\(path), \(error)".cut(to: 512)
            }
        } catch {
            // Looked at again in any case.
            stamp = nil
            failure = "\(path): \(error.call): \(error.errno)"
        }
        return failure != before
    }
}
