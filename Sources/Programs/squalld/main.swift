import LinuxSystem

// The keeper by default; `squalld engine` is what the keeper starts, `squalld recover` and `squalld capabilities` what an operator does.
setProgramName("squalld")
let options: AgentOptions
do {
    options = try AgentOptions(Array(CommandLine.arguments.dropFirst()))
} catch {
    exit(code: error.status, saying: error.status == 0 ? error.message : "\(error.message); see squalld --help")
}
switch options.role {
case .keeper: runKeeper(options)
case .engine: runEngine(options)
case .recovery: runRecovery(options)
case .capabilities: printCapabilities(options)
}
