package import LinuxSystem

/// What a worker is to do.
package enum WorkerTask: Hashable, Sendable {
    /// Keeps so many threads busy, each for so many percent (more than 0, up to 100) of one CPU, reached evenly over the
    /// ramp.
    case cpu(load: Double, threads: Int, rampNanoseconds: Int64 = 0)
    /// Holds so many bytes of anonymous memory, reached evenly over the ramp; what is hot is used again once a second, so
    /// that it looks needed.
    case memory(bytes: Int64, rampNanoseconds: Int64, isHot: Bool = false)
    /// Lets the file that it is given as `diskFile` grow to so many bytes, and leaves so many free on its file system:
    /// it gives back when others need them.
    case disk(bytes: Int64, reserve: Int64)

    /// Writes the file that it is given as `diskFile` to so many bytes, as `disk` does, and then reads and writes blocks of
    /// it in no order until it ends.
    case io(IOLoad, bytes: Int64, reserve: Int64)
    /// Sends on the sockets that it is given, from `firstFile` on, which are connected to the sink.
    case network(NetworkLoad)
    /// Looks up IPv4 and IPv6 addresses of names, each among several that it may mean, by asking name servers on so many
    /// sockets, from `firstFile` on, which are connected to one each. It says of each what it has found, and ends.
    case lookUp(names: [[String]], servers: Int)

    /// Writes the file that it is given as `diskFile` to so many bytes, through the kernel's cache and to the disk at once,
    /// so that the cache holds it; leaves a reserve as `disk` does.
    case cache(CacheLoad, bytes: Int64, reserve: Int64)

    /// How long a worker looks names up at the most.
    package static let lookupLimit = Duration.seconds(10)

    /// The descriptor of the first of the files that a worker is given; others follow.
    package static let firstFile: Int32 = 3
    /// The descriptor of the file to fill.
    package static let diskFile = firstFile
}

/// How a file is read and written.
package struct IOLoad: Hashable, Sendable {
    /// How many of a hundred calls read; the others write.
    package let readPercent: Int
    /// Bytes of each call: 4096 or a multiple of it.
    package let blockSize: Int64
    package let threads: Int
    /// Past the kernel's caches.
    package let isDirect: Bool

    /// - Returns: Nil for what no worker does.
    package init?(readPercent: Int, blockSize: Int64, threads: Int, isDirect: Bool) {
        guard (0...100).contains(readPercent), Self.blockSizes.contains(blockSize), blockSize % Self.blockUnit == 0,
            (1...Self.mostThreads).contains(threads)
        else { return nil }
        self.readPercent = readPercent
        self.blockSize = blockSize
        self.threads = threads
        self.isDirect = isDirect
    }

    package static let blockUnit: Int64 = 4096
    package static let blockSizes: ClosedRange<Int64> = blockUnit...(1 << 20)
    package static let mostThreads = 16
}

/// What is sent to whom, and how fast.
package struct NetworkLoad: Hashable, Sendable {
    package let transport: InternetTransport
    package let sink: InternetAddress
    /// Of what the sink receives, without headers; of all sockets together.
    package let bitsPerSecond: Int64
    /// Bytes of each write; over UDP that is a packet.
    package let blockSize: Int64
    /// How many sockets there are, each with its share of the rate.
    package let sockets: Int

    /// - Returns: Nil for what no worker does.
    package init?(
        _ transport: InternetTransport, to sink: InternetAddress, bitsPerSecond: Int64, blockSize: Int64, sockets: Int
    ) {
        guard Self.rates.contains(bitsPerSecond), Self.blockSizes.contains(blockSize),
            (1...Self.mostSockets).contains(sockets)
        else { return nil }
        self.transport = transport
        self.sink = sink
        self.bitsPerSecond = bitsPerSecond
        self.blockSize = blockSize
        self.sockets = sockets
    }

    package static let rates: ClosedRange<Int64> = 8000...10_000_000_000
    /// Larger than all that a worker writes beside, as it starts, so that whole blocks can be told from it.
    package static let blockSizes: ClosedRange<Int64> = 64...65536
    package static let mostSockets = 8
}

/// How a file comes into the kernel's cache, and whether it is kept there.
package struct CacheLoad: Hashable, Sendable {
    /// How long it takes to write it, evenly.
    package let rampNanoseconds: Int64
    /// It is read again once a second, so that it looks needed.
    package let isHot: Bool

    package init(rampNanoseconds: Int64, isHot: Bool) {
        self.rampNanoseconds = rampNanoseconds
        self.isHot = isHot
    }
}

extension WorkerTask {
    /// Its kind, then its parameters.
    var arguments: [String] {
        switch self {
        case .cpu(let load, let threads, let ramp): ["cpu", "\(load)", "\(threads)", "\(ramp)"]
        case .memory(let bytes, let ramp, let isHot): ["memory", "\(bytes)", "\(ramp)"] + (isHot ? ["hot"] : [])
        case .disk(let bytes, let reserve): ["disk", "\(bytes)", "\(reserve)"]
        case .io(let load, let bytes, let reserve):
            [
                "io", "\(load.readPercent)", "\(load.blockSize)", "\(load.threads)",
                load.isDirect ? "direct" : "buffered",
                "\(bytes)", "\(reserve)",
            ]
        case .lookUp(let names, let servers): ["look-up", "\(servers)"] + names.map { $0.joined(separator: ",") }
        case .network(let load):
            [
                "network", load.transport.rawValue, "\(load.sink)", "\(load.bitsPerSecond)", "\(load.blockSize)",
                "\(load.sockets)",
            ]
        case .cache(let load, let bytes, let reserve):
            ["cache", "\(load.rampNanoseconds)", "\(bytes)", "\(reserve)"] + (load.isHot ? ["hot"] : [])
        }
    }

    /// Reads what `arguments` wrote; nil for anything else.
    init?(arguments: some Sequence<String>) {
        let words = Array(arguments)
        switch (words.first, words.count) {
        // A worker of an earlier version was told no ramp.
        case ("cpu", 3...4):
            guard let load = Double(words[1]), let threads = Int(words[2]),
                let ramp = words.count > 3 ? Int64(words[3]) : 0, load > 0, load <= 100, (1...4096).contains(threads),
                ramp >= 0
            else { return nil }
            self = .cpu(load: load, threads: threads, rampNanoseconds: ramp)
        case ("memory", 3...4):
            guard let bytes = Int64(words[1]), let ramp = Int64(words[2]), bytes > 0, ramp >= 0,
                words.count == 3 || words[3] == "hot"
            else { return nil }
            self = .memory(bytes: bytes, rampNanoseconds: ramp, isHot: words.count > 3)
        case ("disk", 3):
            guard let bytes = Int64(words[1]), let reserve = Int64(words[2]), bytes > 0, reserve >= 0 else {
                return nil
            }
            self = .disk(bytes: bytes, reserve: reserve)
        case ("io", 7):
            guard let readPercent = Int(words[1]), let blockSize = Int64(words[2]), let threads = Int(words[3]),
                ["direct", "buffered"].contains(words[4]),
                let load = IOLoad(
                    readPercent: readPercent, blockSize: blockSize, threads: threads, isDirect: words[4] == "direct"),
                let bytes = Int64(words[5]), let reserve = Int64(words[6]), bytes >= blockSize, reserve >= 0
            else { return nil }
            self = .io(load, bytes: bytes, reserve: reserve)
        case ("look-up", 3...):
            guard let servers = Int(words[1]), (1...3).contains(servers) else { return nil }
            let names = words.dropFirst(2).map { $0.split(separator: ",").map(String.init) }
            guard names.allSatisfy({ !$0.isEmpty }) else { return nil }
            self = .lookUp(names: names, servers: servers)
        case ("network", 6):
            guard let transport = InternetTransport(rawValue: words[1]), let sink = InternetAddress(text: words[2]),
                let rate = Int64(words[3]), let blockSize = Int64(words[4]), let sockets = Int(words[5]),
                let load = NetworkLoad(
                    transport, to: sink, bitsPerSecond: rate, blockSize: blockSize, sockets: sockets)
            else { return nil }
            self = .network(load)
        case ("cache", 4...5):
            guard let ramp = Int64(words[1]), let bytes = Int64(words[2]), let reserve = Int64(words[3]), ramp >= 0,
                bytes > 0, reserve >= 0, words.count == 4 || words[4] == "hot"
            else { return nil }
            self = .cache(
                CacheLoad(rampNanoseconds: ramp, isHot: words.count > 4), bytes: bytes, reserve: reserve)
        default:
            return nil
        }
    }
}
