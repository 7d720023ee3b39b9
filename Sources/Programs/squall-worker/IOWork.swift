internal import Filesystems
internal import Glibc
internal import LinuxSystem
internal import WorkerProtocol

/// Starts the threads that read and write a file, each a block after the other, in no order.
///
/// - Parameters:
///   - file: Holds `bytes`, and stays open.
///   - onFailure: Called by a thread that cannot go on.
func startIOLoad(
    _ load: IOLoad, file: Int32, bytes: Int64, onFailure: @escaping @Sendable (SystemCallError) -> Void
) throws(SystemCallError) {
    if load.isDirect { try useDirectIO(true, ofDescriptor: file, subject: "file") }
    for number in 0..<load.threads {
        let thread = try startThread {
            do throws(SystemCallError) {
                try work(load, file: file, blocks: bytes / load.blockSize, seed: UInt64(number + 1))
            } catch {
                onFailure(error)
            }
        }
        pthread_detach(thread)
    }
}

private func work(_ load: IOLoad, file: Int32, blocks: Int64, seed: UInt64) throws(SystemCallError) -> Never {
    let size = Int(load.blockSize)
    let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: Int(IOLoad.blockUnit))
    var numbers = Xorshift(seed: seed)
    for offset in stride(from: 0, to: size, by: 8) {
        block.storeBytes(of: numbers.next(), toByteOffset: offset, as: UInt64.self)
    }
    var unsynced = 0
    while true {
        let offset = Int(numbers.next() % UInt64(blocks)) * size
        if numbers.next() % 100 < UInt64(load.readPercent) {
            try systemCall("pread", on: "file") { pread(file, block, size, offset) }
        } else {
            try systemCall("pwrite", on: "file") { pwrite(file, block, size, offset) }
            unsynced += size
        }
        // Otherwise it would be a load of the kernel's caches only.
        if !load.isDirect, unsynced >= 1 << 20 {
            try systemCall("fdatasync", on: "file") { fdatasync(file) }
            unsynced = 0
        }
    }
}
