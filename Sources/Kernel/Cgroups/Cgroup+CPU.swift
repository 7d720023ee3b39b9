extension Cgroup {
    /// The CPU time that its processes, and those below, have used since it was made.
    package func cpuUsage() throws(CgroupFileError) -> Duration {
        switch layout {
        case .unified:
            // There whether or not the controller is on.
            let text = try read("cpu.stat", of: .cpu)
            for line in text.split(separator: "\n") {
                let fields = line.split(separator: " ")
                if fields.count == 2, fields[0] == "usage_usec", let usage = Int64(fields[1]) {
                    return .microseconds(usage)
                }
            }
            throw .unreadable(file: "cpu.stat", text: text)
        case .perController:
            let text = try read("cpuacct.usage", of: .cpuacct)
            guard let usage = Int64(text.prefix(while: \.isNumber)) else {
                throw .unreadable(file: "cpuacct.usage", text: text)
            }
            return .nanoseconds(usage)
        }
    }
}
