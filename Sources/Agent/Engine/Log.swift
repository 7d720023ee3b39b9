import LinuxSystem

/// A line for whoever reads the container's log.
func log(_ message: String) {
    StandardStream.error.writeLine("squalld: \(message)")
}
