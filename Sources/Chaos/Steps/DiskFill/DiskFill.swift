package import ChaosModel
package import WorkerProtocol

/// What is done with a file beside letting it grow.
package enum FileLoad: Hashable, Sendable {
    /// It is read and written when it is there.
    case io(IOLoad)
    /// It grows through the kernel's cache, which holds it from then on.
    case cache(CacheLoad)
}

/// A file to be filled, as a fault plans it.
package struct DiskFill: Hashable, Sendable {
    package enum Amount: Hashable, Sendable {
        case bytes(ByteCount)
        /// Until so much of the file system is in use, as `df` counts it.
        case filesystem(Percentage)
    }

    /// A directory, as the target sees it.
    package let directory: String
    package let amount: Amount
    /// The share of the file system that is left free whatever happens.
    package let reserve: Percentage
    /// Whether the file has a name, so that whoever counts files finds it.
    package let isVisible: Bool
    /// What else is done with it; nil for nothing.
    package let load: FileLoad?
    /// The request's field that says how much, for refusals.
    package let amountField: String

    package init(
        directory: String, amount: Amount, reserve: Percentage, isVisible: Bool, load: FileLoad? = nil,
        amountField: String = "parameters.size"
    ) {
        self.directory = directory
        self.amount = amount
        self.amountField = amountField
        self.reserve = reserve
        self.isVisible = isVisible
        self.load = load
    }
}

/// The file that was decided on, and all that it takes to find its name again.
package struct FillFile: Hashable, Sendable {
    package let bytes: Int64
    /// Left free on its file system.
    package let reserve: Int64
    package let isVisible: Bool
    /// What else is done with it; nil for nothing.
    package let load: FileLoad?
    /// As the target sees it.
    package let directory: String
    package let process: TargetFacts.Process
    /// The directory itself: its file system's device and its inode there.
    package let device: UInt64
    package let inode: UInt64
    /// The directory's path from the root of its file system; nil where it could not be seen.
    package let pathInFilesystem: String?
    /// For a file system that overlays others: the node's directory that holds what is written into it.
    package let upperDirectory: String?

    package init(
        bytes: Int64, reserve: Int64, isVisible: Bool, load: FileLoad? = nil, directory: String,
        process: TargetFacts.Process, device: UInt64, inode: UInt64, pathInFilesystem: String?, upperDirectory: String?
    ) {
        self.load = load
        self.bytes = bytes
        self.reserve = reserve
        self.isVisible = isVisible
        self.directory = directory
        self.process = process
        self.device = device
        self.inode = inode
        self.pathInFilesystem = pathInFilesystem
        self.upperDirectory = upperDirectory
    }
}

extension FillFile {
    package var json: JSON {
        .object([
            ("bytes", .integer(bytes)), ("reserve", .integer(reserve)), ("visible", .boolean(isVisible)),
            ("io", load?.io?.json), ("cache", load?.cache?.json), ("directory", .string(directory)),
            ("process", ["pid": .integer(Int64(process.id)), "startTime": .integer(Int64(process.startTime))]),
            ("device", .string(String(device))), ("inode", .string(String(inode))),
            ("path", pathInFilesystem.map(JSON.string)), ("upper", upperDirectory.map(JSON.string)),
        ])
    }

    /// Nil for anything that `json` cannot have made.
    package init?(_ json: JSON) {
        guard let bytes = json["bytes"]?.integerValue, bytes > 0,
            let reserve = json["reserve"]?.integerValue, reserve >= 0,
            let isVisible = json["visible"]?.booleanValue,
            let io = json.optional("io", IOLoad.init), let cache = json.optional("cache", CacheLoad.init),
            let directory = json["directory"]?.stringValue,
            let pid = json["process"]?["pid"]?.integerValue.flatMap({ Int32(exactly: $0) }),
            let startTime = json["process"]?["startTime"]?.integerValue.flatMap({ UInt64(exactly: $0) }),
            let device = json["device"]?.stringValue.flatMap({ UInt64($0) }),
            let inode = json["inode"]?.stringValue.flatMap({ UInt64($0) })
        else { return nil }
        self.init(
            bytes: bytes, reserve: reserve, isVisible: isVisible,
            load: io.map(FileLoad.io) ?? cache.map(FileLoad.cache), directory: directory,
            process: TargetFacts.Process(id: pid, startTime: startTime), device: device, inode: inode,
            pathInFilesystem: json["path"]?.stringValue, upperDirectory: json["upper"]?.stringValue)
    }
}

extension FileLoad {
    fileprivate var io: IOLoad? {
        if case .io(let load) = self { load } else { nil }
    }

    fileprivate var cache: CacheLoad? {
        if case .cache(let load) = self { load } else { nil }
    }
}

extension CacheLoad {
    var json: JSON { ["rampNanoseconds": .integer(rampNanoseconds), "hot": .boolean(isHot)] }

    /// Nil for anything that `json` cannot have made.
    init?(_ json: JSON) {
        guard let ramp = json["rampNanoseconds"]?.integerValue, ramp >= 0, let isHot = json["hot"]?.booleanValue else {
            return nil
        }
        self.init(rampNanoseconds: ramp, isHot: isHot)
    }

    /// How it is done, as a person would say it; empty for as fast as it goes, and no more.
    var words: String {
        (rampNanoseconds > 0 ? ", reached within \(Duration.nanoseconds(rampNanoseconds).text)" : "")
            + (isHot ? ", and reads it again and again" : "")
    }
}

extension IOLoad {
    var json: JSON {
        [
            "readPercent": .integer(Int64(readPercent)), "blockSize": .integer(blockSize),
            "threads": .integer(Int64(threads)), "direct": .boolean(isDirect),
        ]
    }

    /// Nil for anything that `json` cannot have made.
    init?(_ json: JSON) {
        guard let readPercent = json["readPercent"]?.integerValue, let blockSize = json["blockSize"]?.integerValue,
            let threads = json["threads"]?.integerValue, let isDirect = json["direct"]?.booleanValue
        else { return nil }
        self.init(readPercent: Int(readPercent), blockSize: blockSize, threads: Int(threads), isDirect: isDirect)
    }

    /// What is done, as a person would say it.
    package var words: String {
        let mix =
            switch readPercent {
            case 0: "writes"
            case 100: "reads"
            default: "reads (\(readPercent) %) and writes"
            }
        return "\(mix) blocks of \(ByteCount(blockSize)) with \(threads == 1 ? "one thread" : "\(threads) threads")"
            + (isDirect ? ", past the kernel's caches" : "")
    }
}
