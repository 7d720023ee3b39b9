internal import AgentAPI
package import ChaosModel
internal import Glibc
internal import LinuxSystem

/// Asks the runtimes process, which speaks to the node's container runtimes. Every call blocks, at most until
/// its deadline: call it on a thread of its own.
package struct RuntimeClient: Sendable {
    package let path: String
    private let patience: Duration

    /// - Parameters:
    ///   - path: The Unix socket of the runtimes process.
    ///   - patience: How long one question may take. Longer than the runtimes process gives a runtime, so that
    ///     its reason arrives.
    package init(path: String, patience: Duration = .seconds(5)) {
        self.path = path
        self.patience = patience
    }

    /// The running container with exactly this identifier; of one that is no pod's its beginning is enough.
    package func container(_ id: String) throws(RuntimeFailure) -> RuntimeContainer {
        guard case .container(let container) = try ask(.container(id)),
            container.sandbox == nil
                ? ContainerName.isWholeIdentifier(container.id) && container.id.hasPrefix(id) : container.id == id
        else { throw .refused(reason: "the answer is not about container \(id)") }
        return container
    }

    /// The running container that is no pod's and is called so.
    package func container(named name: ContainerName) throws(RuntimeFailure) -> RuntimeContainer {
        guard case .container(let container) = try ask(.named(name)), container.sandbox == nil,
            container.name == "\(name)", ContainerName.isWholeIdentifier(container.id)
        else { throw .refused(reason: "the answer is not about container \(name)") }
        return container
    }

    /// Every pod of the node, with its containers that run.
    ///
    /// - Parameter selector: Only those that are ready and match it; of a single one all containers, whichever it names.
    package func pods(matching selector: PodSelector? = nil) throws(RuntimeFailure) -> [RuntimePod] {
        guard case .list(let pods) = try ask(selector.map(RuntimeQuestion.find) ?? .list) else {
            throw .refused(reason: "the answer is no list of pods")
        }
        return pods
    }

    /// What is behind each socket at which a runtime is looked for.
    package func status() throws(RuntimeFailure) -> [RuntimeStatus] {
        guard case .status(let statuses) = try ask(.status) else {
            throw .refused(reason: "the answer is no list of runtimes")
        }
        return statuses
    }

    /// Stops the running container with exactly this identifier, and returns when it has ended.
    ///
    /// - Parameters:
    ///   - graceSeconds: How long its own stop signal is given before SIGKILL; with 0 it is killed at once.
    ///   - withdrawal: Takes it back from another thread. A signal that was not sent by then is not sent any more, where
    ///     the runtime ends a call with its caller, as containerd does.
    /// - Returns: Its exit status, where the runtime tells.
    /// - Throws: `unconfirmed` when the container may have been stopped all the same; anything else when it was not.
    package func stop(
        _ id: String, graceSeconds: Int64, unless withdrawal: Withdrawal
    ) throws(RuntimeFailure) -> Int32? {
        let question = RuntimeQuestion.stop(id, graceSeconds: graceSeconds)
        let stream = try send(question)
        guard withdrawal.begin(on: stream) else { throw .unconfirmed(reason: "it was taken back") }
        defer { withdrawal.end() }
        let answer: RuntimeAnswer
        do {
            answer = try self.answer(on: stream, before: .now + patience + question.extraPatience)
        } catch {
            switch error {
            // What the runtimes process has said itself is thrown below.
            case .unreachable(let reason), .refused(let reason): throw .unconfirmed(reason: reason)
            case .notFound, .notRunning, .ambiguous, .unserved, .unconfirmed: throw error
            }
        }
        switch answer {
        case .stopped(let exitCode): return exitCode
        case .failure(let failure): throw failure
        case .container, .list, .status: throw .unconfirmed(reason: "the answer is about something else")
        }
    }

    private func ask(_ question: RuntimeQuestion) throws(RuntimeFailure) -> RuntimeAnswer {
        let deadline = BootInstant.now + patience
        let stream = try send(question)
        let answer = try answer(on: stream, before: deadline)
        if case .failure(let failure) = answer { throw failure }
        return answer
    }

    private func answer(
        on stream: borrowing UnixStream, before deadline: BootInstant
    ) throws(RuntimeFailure) -> RuntimeAnswer {
        let frame = try reply(on: stream, before: deadline)
        guard frame.kind == .answer, let answer = Answer(payload: frame.payload),
            let answer = RuntimeAnswer(answer)
        else { throw .refused(reason: "malformed answer from \(path)") }
        return answer
    }

    private func send(_ question: RuntimeQuestion) throws(RuntimeFailure) -> UnixStream {
        do {
            let stream = try UnixStream(connectingTo: path, timeout: patience)
            try stream.send(question.frame.encoded)
            return stream
        } catch {
            throw .unreachable(reason: "\(error)")
        }
    }

    private func reply(
        on stream: borrowing UnixStream, before deadline: BootInstant
    ) throws(RuntimeFailure) -> Frame {
        var decoder = FrameDecoder()
        while true {
            try wait(for: stream, until: deadline)
            let bytes: [UInt8]
            do { bytes = try stream.receive() } catch { throw .unreachable(reason: "\(error)") }
            if bytes.isEmpty { throw .unreachable(reason: "\(path) closed without an answer") }
            decoder.append(bytes)
            do {
                if let frame = try decoder.next() { return frame }
            } catch {
                throw .refused(reason: "malformed frame from \(path)")
            }
        }
    }

    /// Waits until the stream is readable. The socket's own timeout begins anew with every byte; this one does not.
    ///
    /// The corresponding system call is `poll(2)`.
    private func wait(for stream: borrowing UnixStream, until deadline: BootInstant) throws(RuntimeFailure) {
        var poll = pollfd(fd: stream.descriptor.rawValue, events: Int16(POLLIN), revents: 0)
        while true {
            let left = (deadline - BootInstant.now).wholeNanoseconds / 1_000_000
            let ready = Glibc.poll(&poll, 1, Int32(clamping: max(0, left)))
            if ready > 0 { return }
            if ready == 0 && left <= 0 { throw .unreachable(reason: "no answer from \(path) in \(patience)") }
            if ready < 0 && Errno.current != .interrupted {
                throw .unreachable(reason: "poll \(path): \(Errno.current)")
            }
        }
    }
}
