internal import Glibc
package import LinuxSystem

/// What the kernel's cache holds of a file that another process has open, in whole pages.
///
/// - Throws: `ENODEV` where the file system cannot map files.
///
/// The corresponding system calls are `mmap(2)` and `mincore(2)`. The kernel tells the truth only to a file's owner and to
/// who may write it.
package func cachedBytes(ofDescriptor number: Int32, in process: Int32) throws(SystemCallError) -> Int64 {
    let path = "/proc/\(process)/fd/\(number)"
    let file = try OwnedDescriptor.open(path, O_RDONLY)
    let size = try file.status(subject: path).st_size
    let page = sysconf(Int32(_SC_PAGESIZE))
    var pages = 0
    for offset in stride(from: 0, to: size, by: window) {
        let length = min(window, size - offset)
        guard let start = mmap(nil, length, PROT_READ, MAP_SHARED, file.rawValue, offset), start != MAP_FAILED else {
            throw SystemCallError("mmap", on: path, errno: .current)
        }
        defer { munmap(start, length) }
        // The lowest bit of each byte is for a page.
        var residence = [UInt8](repeating: 0, count: (length + page - 1) / page)
        try systemCall("mincore", on: path) { mincore(start, length, &residence) }
        pages += residence.reduce(into: 0) { $0 += Int($1 & 1) }
    }
    return Int64(pages * page)
}

/// How much of a file is mapped at a time.
private let window = 1 << 30
