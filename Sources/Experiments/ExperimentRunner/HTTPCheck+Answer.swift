import ChaosModel
import ExperimentModel
import HTTPClient
import LinuxSystem

extension HTTPCheck {
    private static let longestToken = 1 << 16

    /// - Parameter target: The address, where it is not the check's own.
    func request(_ target: String? = nil, in context: JSON) throws -> HTTPRequest {
        let text = try target ?? url.value(in: context).stringValue ?? ""
        guard let url = HTTPURL(text) else { throw StepFailure("\(text.debugDescription) is no http or https address") }
        var headers = (try headers.value(in: context).members ?? []).map {
            (name: $0.name, value: $0.value.stringValue ?? $0.value.text)
        }
        let given = try body.value(in: context)
        if given.stringValue == nil, !headers.contains(where: { $0.name.lowercased() == "content-type" }) {
            headers.append(("Content-Type", "application/json"))
        }
        if let bearerTokenFile {
            do throws(SystemCallError) {
                let token = try TextFile.read(bearerTokenFile, atMost: Self.longestToken).trimmed
                headers.append(("Authorization", "Bearer \(token)"))
            } catch {
                throw StepFailure("cannot read \(bearerTokenFile): \(error.errno)")
            }
        }
        return try HTTPRequest(
            url, method: method, headers: headers, body: Array((given.stringValue ?? given.text).utf8),
            trust: TLSTrust(authorities: authorities, isInsecure: isInsecure))
    }

    /// - Throws: When there is none by then, or its status is not good.
    func answer(in context: JSON, until deadline: BootInstant) throws -> HTTPRequest.Response {
        try answer(to: request(in: context), until: deadline)
    }

    func answer(to request: HTTPRequest, until deadline: BootInstant) throws -> HTTPRequest.Response {
        let response = try request.response(until: deadline)
        let isGood =
            statuses.isEmpty
            ? (200..<300).contains(response.status) : statuses.contains(Int64(response.status))
        guard isGood else {
            let expected = statuses.isEmpty ? "200 to 299" : statuses.map(String.init).joined(separator: ", ")
            throw StepFailure("status \(response.status), expected \(expected)")
        }
        return response
    }
}

extension HTTPAction {
    private static let undoAttempts = 5
    /// Of each attempt, at most: others wait for theirs.
    private static let undoPatience = Duration.seconds(10)
    private static let pause = Duration.seconds(2)

    /// - Parameter beforeSending: Called when the request is made and may be heard from now on.
    /// - Returns: What later steps can refer to.
    func run(in context: JSON, beforeSending: () -> Void) throws -> JSON {
        let made = try request.request(in: context)
        beforeSending()
        let response = try request.answer(to: made, until: .now + timeout)
        guard response.body.count <= Script.longestOutput else {
            throw StepFailure("its answer is longer than \(Script.longestOutput) bytes")
        }
        let body: JSON
        do throws(JSONError) {
            body = try JSON(parsing: response.body)
        } catch {
            body = .string(String(decoding: response.body, as: UTF8.self).trimmed)
        }
        return ["status": .integer(Int64(response.status)), "body": body]
    }

    /// Tries several times: at the end of an experiment there is nobody else who would.
    ///
    /// - Returns: Why it could not be done.
    func takeBack(in context: JSON) -> String? {
        guard let undo else { return nil }
        let made: HTTPRequest
        do {
            made = try undo.request(in: context)
        } catch {
            return "it was not taken back: \(error)"
        }
        var failure = ""
        for attempt in 1...Self.undoAttempts {
            do {
                _ = try undo.answer(to: made, until: .now + min(timeout, Self.undoPatience))
                return nil
            } catch {
                failure = "\(error)"
            }
            // A stop does not cut this short.
            if attempt < Self.undoAttempts { StopSignal().wait(Self.pause) }
        }
        return "it was not taken back: \(failure)"
    }

    /// What it would be, for people.
    func preview(in context: JSON) -> String {
        func words(_ check: HTTPCheck) -> String {
            guard let url = try? check.url.value(in: context).stringValue else {
                return "\(check.method), where is known later"
            }
            return "\(check.method) \(url)" + (check.bearerTokenFile.map { " with the token in \($0)" } ?? "")
        }
        return "would send \(words(request))" + (undo.map { ", and \(words($0)) to take it back" } ?? "")
    }
}
