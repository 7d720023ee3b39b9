internal import Filesystems
internal import Glibc
internal import LinuxSystem
internal import WorkerProtocol

/// Lets a file grow, and keeps a reserve free on its file system: when others need it, the file shrinks again.
struct DiskLoad: ~Copyable {
    private let file: OwnedDescriptor
    private let bytes: Int64
    private let reserve: Int64
    private(set) var size: Int64 = 0
    /// Allocating without writing is not known to this file system.
    private var mustWrite: Bool
    private let block: [UInt8]
    /// Where reading it again goes on.
    private var position: Int64 = 0

    private static let chunk: Int64 = 16 << 20

    /// - Parameters:
    ///   - file: Empty, and open for writing.
    ///   - mustWrite: Whether the file is to hold something that can be read from the disk.
    init(_ file: consuming OwnedDescriptor, bytes: Int64, reserve: Int64, mustWrite: Bool = false) {
        self.file = file
        self.mustWrite = mustWrite
        self.bytes = bytes
        self.reserve = reserve
        // Nothing that a file system could compress.
        var numbers = Xorshift()
        block = (0..<(1 << 20)).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
    }

    enum Progress {
        case more
        case full
        /// It cannot grow further, for this reason.
        case short(String)
    }

    /// Grows by one chunk at most.
    ///
    /// - Parameter due: What it need not exceed yet.
    mutating func grow(to due: Int64 = .max) throws(SystemCallError) -> Progress {
        if size >= bytes { return .full }
        if size >= due { return .more }
        let room = try available() - reserve
        if room <= 0 { return .short("the reserve of \(reserve) bytes is reached") }
        let length = min(min(bytes, due) - size, mustWrite ? Int64(block.count) : Self.chunk, room)
        do throws(SystemCallError) {
            try allocate(length)
        } catch let error where [ENOSPC, EDQUOT, EFBIG].contains(error.errno.rawValue) {
            return .short("\(error.errno)")
        }
        return size >= bytes ? .full : .more
    }

    /// Whether others have taken from the reserve.
    func lacksReserve() throws(SystemCallError) -> Bool { try available() < reserve }

    /// Gives back what others have taken from the reserve.
    mutating func keepReserve() throws(SystemCallError) {
        let missing = try reserve - available()
        guard missing > 0, size > 0 else { return }
        let smaller = max(0, size - missing)
        let raw = file.rawValue
        try systemCall("ftruncate", on: "file") { ftruncate(raw, Int(smaller)) }
        size = smaller
    }

    /// Reads a byte of each page of the next part, through the kernel's cache. False when that was the last part.
    mutating func readOn() throws(SystemCallError) -> Bool {
        let raw = file.rawValue
        let end = min(size, position + Self.chunk)
        var byte: UInt8 = 0
        while position < end {
            try systemCall("pread", on: "file") { pread(raw, &byte, 1, Int(position)) }
            position += Self.page
        }
        if position < size { return true }
        position = 0
        return false
    }

    private static let page = Int64(sysconf(Int32(_SC_PAGESIZE)))

    private func available() throws(SystemCallError) -> Int64 {
        try FilesystemSpace(of: file, subject: "file").available
    }

    private mutating func allocate(_ length: Int64) throws(SystemCallError) {
        if !mustWrite {
            do throws(SystemCallError) {
                try file.allocate(from: size, count: length, subject: "file")
                size += length
                return
            } catch let error where error.errno.rawValue == EOPNOTSUPP {
                mustWrite = true
            }
        }
        let raw = file.rawValue
        var left = length
        while left > 0 {
            let wanted = Int(min(left, Int64(block.count)))
            let written = try systemCall("pwrite", on: "file") {
                block.withUnsafeBytes { pwrite(raw, $0.baseAddress, wanted, Int(size)) }
            }
            size += Int64(written)
            left -= Int64(written)
        }
        // Bit by bit, so that this program can be ended in between.
        try systemCall("fdatasync", on: "file") { fdatasync(raw) }
    }
}
