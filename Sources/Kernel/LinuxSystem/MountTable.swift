/// One line of `/proc/PID/mountinfo`.
package struct MountEntry: Hashable, Sendable {
    /// Names the mount among those that exist now.
    package let id: Int
    /// The file system's device, as `st_dev` has it.
    package let device: UInt64
    /// What part of the file system is mounted, `/` for all of it.
    package let root: String
    package let mountPoint: String
    package let type: String
    /// The options of the file system (not those of the mount).
    package let options: [String]

    /// Of an overlay: the directory that holds what is written into it.
    package var upperDirectory: String? {
        guard type == "overlay", let option = options.first(where: { $0.hasPrefix("upperdir=") }) else { return nil }
        return Self.unescaped(option.dropFirst("upperdir=".count))
    }

    package init?(line: Substring) {
        // 36 35 98:0 /root /mount/point rw,noatime shared:1 - ext3 /dev/root rw,errors=continue
        let fields = line.split(separator: " ")
        guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 3 else { return nil }
        let numbers = fields[2].split(separator: ":").compactMap { UInt64($0) }
        guard numbers.count == 2, let id = Int(fields[0]) else { return nil }
        self.id = id
        device = Self.device(major: numbers[0], minor: numbers[1])
        root = Self.unescaped(fields[3])
        mountPoint = Self.unescaped(fields[4])
        type = String(fields[dash + 1])
        options = fields[dash + 3].split(separator: ",").map(String.init)
    }

    /// Of a target. Some 20,000 mounts: in a namespace of its own it may have made as many as it likes.
    private static let longestTable = 4 << 20

    /// The mounts that a process sees, each before those that may cover it.
    ///
    /// - Throws: `EACCES` without the right to trace the process, `ENOENT` when there is no such process, `EFBIG` for more
    ///   than anybody needs.
    package static func all(seenBy process: String = "self") throws(SystemCallError) -> [MountEntry] {
        try TextFile.read("/proc/\(process)/mountinfo", atMost: ["1", "self"].contains(process) ? .max : longestTable)
            .split(separator: "\n").compactMap {
                MountEntry(line: $0)
            }
    }

    /// `makedev(3)` of glibc.
    private static func device(major: UInt64, minor: UInt64) -> UInt64 {
        (major & 0xffff_f000) << 32 | (major & 0xfff) << 8 | (minor & 0xffff_ff00) << 12 | minor & 0xff
    }

    /// Blanks, tabs, newlines and backslashes are written as a backslash and three octal digits.
    private static func unescaped(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(field.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3,
                let code = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
            {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
