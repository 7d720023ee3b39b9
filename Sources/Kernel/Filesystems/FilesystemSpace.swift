internal import CLinux
package import LinuxSystem

/// How much room a file system has, as `df` counts it.
package struct FilesystemSpace: Hashable, Sendable {
    /// What files of people without privileges could take together.
    package let capacity: Int64
    package let used: Int64
    /// What somebody without privileges could still write.
    package let available: Int64
    package let isReadOnly: Bool
    /// `f_type` of `statfs(2)`.
    package let type: Int64

    /// Of the file system and the mount that a file is on.
    ///
    /// The corresponding system call is `fstatfs(2)`.
    package init(of file: borrowing OwnedDescriptor, subject: String) throws(SystemCallError) {
        let raw = file.rawValue
        var space = clinux_space()
        try systemCall("fstatfs", on: subject) { clinux_get_space(raw, &space) }
        available = space.available
        used = space.total - space.free
        capacity = used + available
        isReadOnly = space.read_only != 0
        type = space.type
    }

    /// Whether its files are the kernel's own words, and hold no data.
    package var isOfTheKernel: Bool { Self.kernelTypes.contains(type) }

    /// Whether its files are in memory.
    package var isInMemory: Bool { [0x0102_1994, 0x8584_58f6].contains(type) }

    /// `linux/magic.h`
    private static let kernelTypes: Set<Int64> = [
        0x9fa0,  // proc
        0x6265_6572,  // sysfs
        0x27_e0eb,  // cgroup
        0x6367_7270,  // cgroup2
        0x1cd1,  // devpts
        0x1980_0202,  // mqueue
        0x6462_6720,  // debugfs
        0x7472_6163,  // tracefs
        0x7363_6673,  // securityfs
        0xcafe_4a11,  // bpf
        0x6265_6570,  // configfs
        0x6e73_6673,  // nsfs
        0x4249_4e4d,  // binfmt_misc
    ]
}

extension OwnedDescriptor {
    /// Makes the file take room on its file system without writing to it.
    ///
    /// - Throws: `EOPNOTSUPP` where the file system cannot, `ENOSPC`, `EDQUOT`, `EFBIG`.
    ///
    /// The corresponding system call is `fallocate(2)`.
    package func allocate(from offset: Int64, count: Int64, subject: String) throws(SystemCallError) {
        let raw = rawValue
        try systemCall("fallocate", on: subject) { clinux_allocate(raw, offset, count) }
    }

    /// - Throws: `EINVAL` where the file system can only be read and written through the kernel's caches.
    package func refuseWithoutDirectIO(subject: String) throws(SystemCallError) {
        try useDirectIO(true, ofDescriptor: rawValue, subject: subject)
        try useDirectIO(false, ofDescriptor: rawValue, subject: subject)
    }
}

/// Lets an open file be read and written past the kernel's caches, or through them again.
///
/// - Throws: `EINVAL` where the file system knows no other way.
///
/// The corresponding system call is `fcntl(2)` with `O_DIRECT`.
package func useDirectIO(_ use: Bool, ofDescriptor raw: Int32, subject: String) throws(SystemCallError) {
    try systemCall("fcntl O_DIRECT", on: subject) { clinux_use_direct_io(raw, use ? 1 : 0) }
}
