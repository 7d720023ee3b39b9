import Cgroups
import ChaosModel
import Filesystems
import Glibc
import LinuxSystem
import Targets

extension StepRunner {
    /// The disk that backs a directory of the target, asked `inTime`: it may be on a file system that never answers.
    func disk(behind directory: String, of target: ResolvedTarget) async throws(Problem) -> BlockDevice {
        let process = try Self.processWithFiles(of: target)
        let found: BlockDevice?
        do throws(SystemCallError) {
            found = try await inTime(on: directory) { () throws(SystemCallError) in
                try Self.findDisk(behind: directory, seenBy: process.id)
            }
        } catch {
            throw Self.refusal(of: directory, error)
        }
        guard target.isRunning else { throw Problem(.targetGone, "the target has ended", field: "target") }
        guard let found else {
            throw Problem(
                .fieldInvalid, "\(directory) is on a file system without a disk of this node", field: "parameters.path",
                hint: "name a directory on a disk: not on a tmpfs, a network's or a btrfs")
        }
        return found
    }

    /// Nil where there is none.
    private static func findDisk(
        behind path: String, seenBy process: Int32
    ) throws(SystemCallError) -> BlockDevice? {
        let found = try FoundDirectory(at: path, seenBy: process, beside: nil)
        var device = found.identity.device
        // What is written to an overlay lies elsewhere.
        if let upper = found.upperDirectory { device = try Directory(onNodeAt: upper).identity.device }
        // Linux' own makedev(3).
        let major = UInt32((device >> 8) & 0xfff | (device >> 32) & 0xffff_f000)
        let minor = UInt32(device & 0xff | (device >> 12) & 0xffff_ff00)
        return major == 0 ? nil : try wholeDisk(BlockDevice(major: major, minor: minor))
    }

    /// Limits are those of a disk, not of its partitions.
    private static func wholeDisk(_ device: BlockDevice) throws(SystemCallError) -> BlockDevice? {
        let path = "/sys/dev/block/\(device)"
        do throws(SystemCallError) {
            _ = try TextFile.read("\(path)/partition")
        } catch {
            if error.errno == .noEntry { return device }
            throw error
        }
        return BlockDevice(try TextFile.read("\(path)/../dev").prefix { !$0.isNewline })
    }
}
