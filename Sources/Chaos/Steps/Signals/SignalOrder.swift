import ChaosModel
internal import Glibc

/// A signal to processes of the target, as a fault plans it. It cannot be taken back.
package struct SignalOrder: Hashable, Sendable {
    package let signal: Signal
    /// Only processes with one of these names; nil is all.
    package let names: [String]?

    package init(_ signal: Signal, names: [String]?) {
        self.signal = signal
        self.names = names
    }

    /// By its number; its name is what people and the journal say.
    package enum Signal: String, CaseIterable, Sendable {
        case abort = "ABRT"
        case alarm = "ALRM"
        case busError = "BUS"
        case `continue` = "CONT"
        case arithmeticError = "FPE"
        case hangUp = "HUP"
        case illegalInstruction = "ILL"
        case interrupt = "INT"
        case kill = "KILL"
        case brokenPipe = "PIPE"
        case quit = "QUIT"
        case segmentationFault = "SEGV"
        case stop = "STOP"
        case terminate = "TERM"
        case firstUser = "USR1"
        case secondUser = "USR2"

        var number: Int32 {
            switch self {
            case .abort: SIGABRT
            case .alarm: SIGALRM
            case .busError: SIGBUS
            case .continue: SIGCONT
            case .arithmeticError: SIGFPE
            case .hangUp: SIGHUP
            case .illegalInstruction: SIGILL
            case .interrupt: SIGINT
            case .kill: SIGKILL
            case .brokenPipe: SIGPIPE
            case .quit: SIGQUIT
            case .segmentationFault: SIGSEGV
            case .stop: SIGSTOP
            case .terminate: SIGTERM
            case .firstUser: SIGUSR1
            case .secondUser: SIGUSR2
            }
        }
    }
}

extension SignalOrder {
    /// As a person would say it.
    package var summary: String {
        let whom = names.map { "the target's processes called \($0.joined(separator: ", "))" }
        return "send SIG\(signal.rawValue) to \(whom ?? "all processes of the target")"
    }

    var json: JSON {
        .object([
            ("signal", .string(signal.rawValue)), ("names", names.map { .array($0.map(JSON.string)) }),
        ])
    }

    /// Nil for anything that `json` cannot have made.
    init?(_ json: JSON) {
        guard let signal = json["signal"]?.stringValue.flatMap(Signal.init),
            let names = json.optional("names", { $0.arrayValue?.compactMap(\.stringValue) })
        else { return nil }
        self.init(signal, names: names)
    }
}
