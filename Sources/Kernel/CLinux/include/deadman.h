// What the engine and squall-deadman share: a memory of slots, one for each thing that must be undone in time, and the
// messages on the socket between them. Nothing but data: it is compiled without a C library too.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    DEADMAN_MAGIC = 0x4d444153,
    DEADMAN_VERSION = 2,
    DEADMAN_SLOT_SIZE = 1024,
    DEADMAN_SLOT_COUNT = 8192,  // the first is the memory's header
    DEADMAN_MOST_FILES = 2,
};

// The descriptors that squall-deadman is started with; from the last on, the parents of its cgroup.
enum { DEADMAN_MEMORY = 3, DEADMAN_CONTROL = 4, DEADMAN_CGROUPS = 5 };

typedef struct {
    uint32_t magic;
    uint32_t version;
    uint32_t highest;  // slot that was ever used
} deadman_header;

// Who may undo what a slot holds. Any other value: the engine is at it, and nobody else is until that instant.
enum {
    DEADMAN_FREE = 0,
    DEADMAN_ARMED = 1,   // squall-deadman, from the deadline on
    DEADMAN_FIRING = 2,  // squall-deadman does
    DEADMAN_FIRED = 3,   // squall-deadman has
};

// Instants are nanoseconds of CLOCK_BOOTTIME.
typedef struct {
    uint64_t owner;     // changed only by compare and swap
    int64_t deadline;
    int32_t error;      // of the last attempt to undo; 0 when it went well
    uint32_t length;    // of the program
    uint32_t is_slow;   // its calls may wait for a file system
    uint64_t tag;       // names what is undone, for a successor
} deadman_slot;  // followed by the program, which may fill the slots that come after it

enum { DEADMAN_SEND = 1, DEADMAN_SKIP_IF_LISTED = 2, DEADMAN_KILL = 3, DEADMAN_EMPTY = 4, DEADMAN_UNLINK = 5 };
// Its data: what a line of a file held, then all that we may have put there, each with a zero at its end.
enum { DEADMAN_RESTORE = 6 };
// Its data: a call of systemd's, as it is on the wire (D-Bus specification). Takes none of the slot's files.
enum { DEADMAN_CALL_SYSTEMD = 7 };
// Its data: a deadman_clock. Steps the wall clock back, if it is as that says. Takes none of the slot's files either.
enum { DEADMAN_STEP_CLOCK_BACK = 8 };

// A program is a row of these, each followed by its data and filled up to a multiple of four bytes.
typedef struct {
    uint16_t kind;
    uint8_t file;     // which of the slot's descriptors
    uint8_t skip;     // SKIP_IF_LISTED: how many of the actions that follow
    uint32_t length;  // of the data
} deadman_action;

// A wall clock that was stepped. In nanoseconds.
typedef struct {
    int64_t offset;  // by so much
    int64_t lead;    // and was so far ahead of CLOCK_BOOTTIME before
} deadman_clock;

enum {
    DEADMAN_CLOCK_IS_BACK = 0,     // as far ahead as before
    DEADMAN_CLOCK_IS_STEPPED = 1,  // as the step has left it
    DEADMAN_CLOCK_IS_SET = 2,      // otherwise: by somebody else
};

// How far the wall clock is ahead of CLOCK_BOOTTIME, both as they are asked for here, in nanoseconds.
static inline int64_t deadman_clock_lead(int64_t (*boot)(void), int64_t (*wall)(void)) {
    int64_t lead = 0, shortest = INT64_MAX;
    // Whoever is interrupted between the clocks is so for long: of a few attempts the quickest counts.
    for (int attempt = 0; attempt < 8; attempt++) {
        int64_t before = boot(), between = wall(), time = boot() - before;
        if (time >= shortest) continue;
        shortest = time;
        lead = between - (before + time / 2);
    }
    return lead;
}

// Seconds, and the nanoseconds beyond them, which count forward.
static inline void deadman_split(int64_t time, int64_t *seconds, int64_t *nanoseconds) {
    *seconds = time / 1000000000;
    *nanoseconds = time % 1000000000;
    if (*nanoseconds < 0) *nanoseconds += 1000000000, *seconds -= 1;
}

// What has become of it, now that it is so far ahead. What a time service sets right by the way changes nothing, nor does a leap
// second where the offset is four seconds at least.
static inline int deadman_clock_state(const deadman_clock *clock, int64_t lead) {
    int64_t size = clock->offset < 0 ? -clock->offset : clock->offset;
    int64_t most = size / 4 < INT64_C(2000000000) ? size / 4 : INT64_C(2000000000);
    int64_t moved = lead - clock->lead, left = moved - clock->offset;
    if (-most <= left && left <= most) return DEADMAN_CLOCK_IS_STEPPED;
    return -most <= moved && moved <= most ? DEADMAN_CLOCK_IS_BACK : DEADMAN_CLOCK_IS_SET;
}

enum { DEADMAN_HOLD = 1, DEADMAN_LET_GO = 2, DEADMAN_LEAVE = 3, DEADMAN_WAKE = 4 };

// HOLD: keep these descriptors for a slot that has been written: a pidfd of the target, then those that the program names.
// LET_GO: close them. WAKE: a deadline is earlier now. LEAVE: end. Each but LET_GO is
// answered by the same message with the result.
typedef struct {
    uint32_t request;
    uint32_t slot;
    int32_t result;  // how many descriptors come with it; in the answer 0, or a negative error number
} deadman_message;

static inline uint64_t deadman_owner(const void *slot) {
    return __atomic_load_n(&((const deadman_slot *)slot)->owner, __ATOMIC_ACQUIRE);
}

static inline int deadman_change_owner(void *slot, uint64_t from, uint64_t to) {
    return __atomic_compare_exchange_n(
        &((deadman_slot *)slot)->owner, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
