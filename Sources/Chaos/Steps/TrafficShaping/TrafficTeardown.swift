internal import DeadMan
internal import Netlink

extension DeadMansProgram {
    /// Removes classes whose state nobody knows: in the order in which no packet is redirected to nowhere, and what comes
    /// out of an ifb still meets the catch-all. clsact stays where it was before, and where others use it.
    ///
    /// - Parameter letGo: What may have been spared of them.
    init(
        removing classes: Set<TrafficClass>, sparing letGo: Set<RankedBox>, from base: TrafficBase,
        resetsQueueLengths: Bool
    ) {
        self.init()
        let all = classes.flatMap(\.filters) + letGo
        for interface in base.interfaces {
            let filters = all.filter { $0.box.interface ?? interface.name == interface.name }
            let entrances = TrafficEntrance.all(of: filters.map(\.box))
            for place in Set(entrances.map { Filter.Place($0, on: interface.index) }) {
                send(PreparedRequest.deleteFilters(ofKind: "bpf", at: place))
            }
            let places = filters.flatMap { ranked in
                entrances.ways(to: ranked.box).map { Filter.Place(of: ranked, behind: $0, on: interface.index) }
            }
            // Those of more sessions go last, and after them what spares some packets.
            for place in Set(places).sorted(by: { $0.preference > $1.preference }) {
                send(PreparedRequest.deleteFilters(ofKind: "flower", at: place))
            }
        }
        for interface in base.interfaces {
            let places = TrafficExclusion.all(of: base).map { Filter.Place(excluding: $0.box, on: interface.index) }
            for place in Set(places) { send(PreparedRequest.deleteFilters(ofKind: "flower", at: place)) }
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
