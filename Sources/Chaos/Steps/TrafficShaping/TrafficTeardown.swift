internal import DeadMan
internal import Netlink

extension DeadMansProgram {
    /// Removes classes whose state nobody knows: in the order in which no packet is redirected to nowhere, and what comes
    /// out of an ifb still meets the catch-all. clsact stays where it was before, and where others use it.
    init(removing classes: Set<TrafficClass>, from base: TrafficBase, resetsQueueLengths: Bool) {
        self.init()
        // Those of more sessions go last.
        let classes = classes.sorted { $1.precedes($0) }
        for interface in base.interfaces {
            for each in classes {
                for box in each.boxes {
                    let place = Filter.Place(of: box, in: each, on: interface.index)
                    send(PreparedRequest.deleteFilters(ofKind: "flower", at: place))
                }
            }
        }
        for each in classes { send(PreparedRequest.deleteLink(named: each.interfaceName)) }
        for interface in base.interfaces {
            send(PreparedRequest.deleteFilters(ofKind: "matchall", at: .catchAll(of: interface.index)))
            if !interface.hadClsact {
                send(
                    PreparedRequest.deleteClsact(from: interface.index),
                    ifNothingIsListedBy: ClsactHook.allCases.map {
                        PreparedRequest.listFilters(of: interface.index, at: $0)
                    })
            }
            if resetsQueueLengths, interface.transmitQueueLength == 0 {
                send(PreparedRequest.setTransmitQueueLength(0, ofLink: interface.index))
            }
        }
    }
}
