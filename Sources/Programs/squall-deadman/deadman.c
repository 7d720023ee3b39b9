// squall-deadman STATE CGROUP: undoes what is past its deadline when the engine does not, because it is gone or hangs.
//
// It knows no fault. The engine writes what undoing takes into a shared memory (see deadman.h) before it changes
// anything, and hands over the sockets and files that it takes. So this needs no file, no name and no namespace of
// anybody's: it can outlive the agent's container. When the engine is gone it ends with the last of its slots.
//
// Without a C library: a few pages of memory, and nothing that could start to behave otherwise.

#include <asm/unistd.h>
#include <deadman.h>
#include <linux/audit.h>
#include <linux/errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <linux/timex.h>
#include <stddef.h>
#include <stdint.h>

// ---- System calls

#if defined(__x86_64__)
static long call6(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
__asm__(".globl _start\n_start: xor %ebp, %ebp; mov %rsp, %rdi; and $-16, %rsp; call run\n");
#elif defined(__aarch64__)
static long call6(long number, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
__asm__(".globl _start\n_start: mov x29, #0; mov x0, sp; bl run\n");
#else
#error "no system calls for this processor"
#endif
#define CALL(name, a, b, c, d, e, f) \
    call6(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

// The compiler may call these, whatever the source says.
void *memcpy(void *to, const void *from, size_t count) {
    for (size_t i = 0; i < count; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}
void *memset(void *to, int byte, size_t count) {
    for (size_t i = 0; i < count; i++) ((volatile char *)to)[i] = (char)byte;
    return to;
}

// As the kernel has them; a C library's headers would bring its functions.
struct timespec64 { int64_t seconds, nanoseconds; };
struct timer_setting { struct timespec64 interval, value; };
struct vector { void *base; size_t length; };
struct message_header {
    void *name;
    int name_length;
    struct vector *vectors;
    size_t vector_count;
    void *control;
    size_t control_length;
    unsigned flags;
};
struct control_header { size_t length; int level, type; };
struct poll_file { int file; short events, returned; };
struct signal_action { void *handler; unsigned long flags; void *restorer; uint64_t mask; };
enum { CLOCK_WALL = 0, CLOCK_BOOT = 7, TIMER_ABSOLUTE = 1, LEVEL_SOCKET = 1, PASS_RIGHTS = 1, CLOSE_ON_EXEC = 0x40000000 };
enum { POLL_IN = 1, SIGNAL_KILL = 9, SIGNAL_CHILD = 17, SET_DUMPABLE = 4, SET_NAME = 15 };
enum { UNIX_FAMILY = 1, STREAM = 1, WAIT_FOR_ALL = 0x100, NO_SIGNAL = 0x4000 };
enum { REMOVE_DIRECTORY = 0x200, WRITE_ONLY = 1, SHARED = 1, READ_WRITE = 3 };

static const int64_t second = 1000000000;

static int64_t time_of(int clock) {
    struct timespec64 time;
    CALL(clock_gettime, clock, &time, 0, 0, 0, 0);
    return time.seconds * second + time.nanoseconds;
}
static int64_t now(void) { return time_of(CLOCK_BOOT); }
static int64_t wall_now(void) { return time_of(CLOCK_WALL); }

// ---- Slots

static unsigned char *memory;
// One more than the descriptor; 0 is none. The last says when the target has ended.
static int32_t files[DEADMAN_SLOT_COUNT][DEADMAN_MOST_FILES + 1];
static int64_t retry_at[DEADMAN_SLOT_COUNT];
static uint8_t attempts[DEADMAN_SLOT_COUNT];
// What lies between two of them may be the rest of a long program.
static uint8_t is_held[DEADMAN_SLOT_COUNT];
static unsigned highest;  // slot that was ever held
static int engine_is_gone;

enum { MOST_ATTEMPTS = 200, MOST_CGROUPS = 32 };
static const int64_t retry_interval = 500000000;

// Twice as long each time, but never longer than half a minute: an hour and a half in all.
static int64_t pause_after(int attempts) {
    return attempts < 6 ? retry_interval << attempts : 60 * retry_interval;
}

static deadman_slot *slot_at(unsigned index) { return (deadman_slot *)(memory + (size_t)index * DEADMAN_SLOT_SIZE); }

static void close_file(unsigned index, int which) {
    if (files[index][which]) CALL(close, files[index][which] - 1, 0, 0, 0, 0, 0);
    files[index][which] = 0;
}

static void close_files(unsigned index) {
    for (int i = 0; i <= DEADMAN_MOST_FILES; i++) close_file(index, i);
}

// When it is this process's turn.
static int64_t due_at(unsigned index) {
    if (!is_held[index]) return INT64_MAX;
    deadman_slot *slot = slot_at(index);
    uint64_t owner = deadman_owner(slot);
    switch (owner) {
    case DEADMAN_FREE:
    case DEADMAN_FIRED: return INT64_MAX;
    case DEADMAN_ARMED: return slot->deadline;
    case DEADMAN_FIRING: return slot->is_slow ? INT64_MAX : retry_at[index];
    default: return (int64_t)owner > slot->deadline ? (int64_t)owner : slot->deadline;
    }
}

// ---- Undoing

static unsigned char buffer[32768];

// Sends a request and returns the kernel's answer: 0, a negative error number, or 1 when a list has something in it.
static int ask(int socket, const unsigned char *request, size_t length) {
    static uint32_t sequence;
    if (length < sizeof(struct nlmsghdr) || length > sizeof buffer) return -EINVAL;
    memcpy(buffer, request, length);
    struct nlmsghdr *header = (struct nlmsghdr *)buffer;
    header->nlmsg_seq = ++sequence;
    long sent = CALL(sendto, socket, buffer, length, 0, 0, 0);
    if (sent < 0) return (int)sent;
    int found = 0;
    // The socket takes nothing but from the kernel; a list that never ends is no list.
    int64_t limit = now() + second;
    while (now() < limit) {
        struct sockaddr_nl sender;
        int size = sizeof sender;
        long count = CALL(recvfrom, socket, buffer, sizeof buffer, 0, &sender, &size);
        if (count == -EINTR) continue;
        if (count < 0) return (int)count;
        if (sender.nl_pid != 0) continue;
        long offset = 0;
        while (offset + (long)sizeof *header <= count) {
            header = (struct nlmsghdr *)(buffer + offset);
            if (header->nlmsg_len < sizeof *header || offset + (long)header->nlmsg_len > count) break;
            if (header->nlmsg_seq == sequence) {
                if (header->nlmsg_type == NLMSG_ERROR) return *(int32_t *)(header + 1);
                if (header->nlmsg_type == NLMSG_DONE) return found;
                found = 1;
            }
            offset += (header->nlmsg_len + 3) & ~3u;
        }
    }
    return -ETIMEDOUT;
}

// Whether an error says that there is nothing left to undo. EINVAL is what netlink says where clsact is gone.
static int is_undone(const deadman_action *action, long error) {
    // Without its socket systemd is only about to begin anew.
    if (action->kind == DEADMAN_CALL_SYSTEMD) return error == 0;
    if (error == -EINVAL) return action->kind == DEADMAN_SEND;
    return error >= 0 || error == -ENOENT || error == -ENODEV || error == -ESRCH;
}

// Whether a line has this word: as its first, or as any other.
static int has_word(const char *line, size_t length, const char *word, size_t size, int is_first) {
    for (size_t begin = 0, end; begin < length; begin = end + 1) {
        for (end = begin; end < length && line[end] != ' '; end++);
        if (is_first != (begin == 0)) continue;
        int is_same = end - begin == size;
        for (size_t i = 0; is_same && i < size; i++) is_same = line[begin + i] == word[i];
        if (is_same) return 1;
    }
    return 0;
}

// Whether a line begins with the text's first word, and has all others of it.
static int has_words(const char *line, size_t length, const char *text, size_t size) {
    for (size_t begin = 0, end; begin < size; begin = end + 1) {
        for (end = begin; end < size && text[end] != ' '; end++);
        if (!has_word(line, length, text + begin, end - begin, begin == 0)) return 0;
    }
    return 1;
}

// Writes the first of these texts to a file of which a line holds one of the others.
static long restore(int file, const char *texts, size_t length) {
    long count = CALL(pread64, file, buffer, sizeof buffer, 0, 0, 0);
    if (count < 0) return count;
    const char *lines = (const char *)buffer;
    size_t first = 0;
    for (size_t begin = 0, end; begin < length; begin = end + 1) {
        for (end = begin; end < length && texts[end]; end++);
        if (begin == 0) {
            first = end;
            continue;
        }
        for (size_t line = 0, rest; line < (size_t)count; line = rest + 1) {
            for (rest = line; rest < (size_t)count && lines[rest] != '\n'; rest++);
            if (has_words(lines + line, rest - line, texts + begin, end - begin))
                return CALL(pwrite64, file, texts, first, 0, 0, 0);
        }
    }
    // It is as it was, or somebody else's by now.
    return 0;
}

// Sends a call of systemd's, and waits for its answer. What systemd tells everybody comes in between.
static long converse(int bus, const unsigned char *call, size_t length) {
    // User 0, for whom the kernel vouches. Nothing may come after it before it is answered.
    static const char greeting[] = "\0AUTH EXTERNAL 30\r\nBEGIN\r\n";
    CALL(sendto, bus, greeting, sizeof greeting - 1, NO_SIGNAL, 0, 0);
    do {
        if (CALL(recvfrom, bus, buffer, 1, 0, 0, 0) != 1) return -ECONNRESET;
    } while (buffer[0] != '\n');
    CALL(sendto, bus, call, length, NO_SIGNAL, 0, 0);
    for (;;) {
        // Its order of bytes and type, the length of its body; then a serial, and the length of the header's fields.
        uint32_t header[4];
        if (CALL(recvfrom, bus, header, sizeof header, WAIT_FOR_ALL, 0, 0) != sizeof header) return -ECONNRESET;
        size_t rest = (((size_t)header[3] + 7) & ~(size_t)7) + header[1];
        while (rest > 0) {
            long count = CALL(recvfrom, bus, buffer, rest < sizeof buffer ? rest : sizeof buffer, 0, 0, 0);
            if (count <= 0) return -ECONNRESET;
            rest -= (size_t)count;
        }
        // 2 is an answer, 3 an error.
        unsigned type = header[0] >> 8 & 0xff;
        if (type == 2) return 0;
        if (type == 3) return -EREMOTEIO;
    }
}

static long call_systemd(const unsigned char *call, size_t length) {
    static const struct { uint16_t family; char path[sizeof "/run/systemd/private"]; } address = {
        UNIX_FAMILY, "/run/systemd/private"};
    long bus = CALL(socket, UNIX_FAMILY, STREAM, 0, 0, 0, 0);
    if (bus < 0) return bus;
    long result = CALL(connect, bus, &address, sizeof address, 0, 0, 0);
    if (result == 0) result = converse((int)bus, call, length);
    CALL(close, bus, 0, 0, 0, 0, 0);
    return result;
}

static long step_clock(int64_t offset) {
    static struct __kernel_timex change;
    int64_t seconds, rest;
    deadman_split(offset, &seconds, &rest);
    change.modes = ADJ_SETOFFSET | ADJ_NANO;
    change.time.tv_sec = seconds;
    change.time.tv_usec = rest;
    // What it answers else is how the clock fares.
    long result = CALL(clock_adjtime, CLOCK_WALL, &change, 0, 0, 0, 0);
    return result < 0 ? result : 0;
}

// Of a clock that somebody else has set meanwhile nothing is changed.
static long step_clock_back(const deadman_clock *clock, size_t length) {
    if (length != sizeof *clock) return -EINVAL;
    if (deadman_clock_state(clock, deadman_clock_lead(now, wall_now)) != DEADMAN_CLOCK_IS_STEPPED) return 0;
    long result = step_clock(-clock->offset);
    // The engine may have been held up between its look and its step, and be only now done with it.
    const deadman_clock twice = {-clock->offset, clock->lead};
    if (deadman_clock_state(&twice, deadman_clock_lead(now, wall_now)) != DEADMAN_CLOCK_IS_STEPPED) return result;
    return step_clock(clock->offset);
}

static int perform(const deadman_action *action, int file, int *skip) {
    const unsigned char *data = (const unsigned char *)(action + 1);
    long result;
    switch (action->kind) {
    case DEADMAN_SEND: result = ask(file, data, action->length); break;
    case DEADMAN_SKIP_IF_LISTED:
        result = ask(file, data, action->length);
        // What could not be read may hold something.
        *skip = result != 0 ? action->skip : 0;
        break;
    case DEADMAN_KILL: result = CALL(pidfd_send_signal, file, SIGNAL_KILL, 0, 0, 0, 0); break;
    case DEADMAN_EMPTY: result = CALL(ftruncate, file, 0, 0, 0, 0, 0); break;
    case DEADMAN_RESTORE: result = restore(file, (const char *)data, action->length); break;
    case DEADMAN_CALL_SYSTEMD: result = call_systemd(data, action->length); break;
    case DEADMAN_STEP_CLOCK_BACK: result = step_clock_back((const deadman_clock *)data, action->length); break;
    case DEADMAN_UNLINK: result = CALL(unlinkat, file, data, 0, 0, 0, 0); break;
    default: result = -ENOSYS;
    }
    return is_undone(action, result) ? 0 : (int)result;
}

static int run_program(unsigned index) {
    deadman_slot *slot = slot_at(index);
    const unsigned char *program = (const unsigned char *)(slot + 1);
    size_t length = slot->length, room = (size_t)(DEADMAN_SLOT_COUNT - index) * DEADMAN_SLOT_SIZE - sizeof *slot;
    if (length > room) return -EINVAL;
    int worst = 0, skip = 0;
    for (size_t offset = 0; offset + sizeof(deadman_action) <= length;) {
        const deadman_action *action = (const deadman_action *)(program + offset);
        size_t next = offset + sizeof *action + ((action->length + 3) & ~3u);
        if (next > length) return -EINVAL;
        offset = next;
        if (skip > 0) {
            skip--;
            continue;
        }
        int takes_file = action->kind != DEADMAN_CALL_SYSTEMD && action->kind != DEADMAN_STEP_CLOCK_BACK;
        if (takes_file && (action->file >= DEADMAN_MOST_FILES || !files[index][action->file])) return -EBADF;
        int error = perform(action, takes_file ? files[index][action->file] - 1 : -1, &skip);
        if (error) worst = error;
    }
    return worst;
}

static void attempt(unsigned index) {
    deadman_slot *slot = slot_at(index);
    slot->error = run_program(index);
    if (slot->error && ++attempts[index] < MOST_ATTEMPTS) {
        retry_at[index] = now() + pause_after(attempts[index]);
        return;
    }
    close_files(index);
    deadman_change_owner(slot, DEADMAN_FIRING, DEADMAN_FIRED);
}

// Keeps nothing open but what the slot's program names.
static void close_all_but(unsigned index) {
    unsigned first = (unsigned)(files[index][0] - 1), second = (unsigned)(files[index][1] - 1);
    if (first > second) {
        unsigned swapped = first;
        first = second;
        second = swapped;
    }
    // What a slot does not have is -1, the largest number there is.
    if (first > 0) CALL(close_range, 0, first - 1, 0, 0, 0, 0);
    if (first != second && first + 1 <= second - 1) CALL(close_range, first + 1, second - 1, 0, 0, 0, 0);
    if (second != ~0u) CALL(close_range, second + 1, ~0u, 0, 0, 0, 0);
}

// A file system may keep its caller waiting for ever, and nobody else with it.
static void attempt_elsewhere(unsigned index) {
    deadman_slot *slot = slot_at(index);
    long child = CALL(clone, SIGNAL_CHILD, 0, 0, 0, 0, 0);
    if (child < 0) {
        slot->deadline = now() + retry_interval;
        deadman_change_owner(slot, DEADMAN_FIRING, DEADMAN_ARMED);
        return;
    }
    if (child > 0) return close_files(index);
    close_all_but(index);
    for (int attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
        slot->error = run_program(index);
        if (!slot->error) break;
        int64_t length = pause_after(attempt);
        struct timespec64 pause = {length / second, length % second};
        CALL(ppoll, 0, 0, &pause, 0, 0, 0);
    }
    deadman_change_owner(slot, DEADMAN_FIRING, DEADMAN_FIRED);
    CALL(exit_group, 0, 0, 0, 0, 0, 0);
}

static void fire(unsigned index) {
    deadman_slot *slot = slot_at(index);
    uint64_t owner = deadman_owner(slot);
    if (owner == DEADMAN_FIRING) return attempt(index);
    if (!deadman_change_owner(slot, owner, DEADMAN_FIRING)) return;
    attempts[index] = 0;
    if (slot->is_slow) attempt_elsewhere(index);
    else attempt(index);
}

// ---- The engine

static void answer(deadman_message message, int result) {
    message.result = result;
    CALL(sendto, DEADMAN_CONTROL, &message, sizeof message, NO_SIGNAL, 0, 0);
}

static void hold(deadman_message message, const int *received, int count) {
    unsigned index = message.slot;
    int error = index == 0 || index >= DEADMAN_SLOT_COUNT ? -EINVAL : 0;
    // There may be no room for more descriptors.
    if (!error && count != message.result) error = -EMFILE;
    if (index < DEADMAN_SLOT_COUNT) close_files(index);
    for (int i = 0; i < count; i++) {
        // The first is the target's.
        int which = i == 0 ? DEADMAN_MOST_FILES : i - 1;
        if (error || i > DEADMAN_MOST_FILES) CALL(close, received[i], 0, 0, 0, 0, 0);
        else files[index][which] = received[i] + 1;
    }
    if (!error) {
        is_held[index] = 1;
        // What another one of us had begun, and did not end.
        deadman_change_owner(slot_at(index), DEADMAN_FIRING, DEADMAN_ARMED);
    }
    if (!error && index > highest) highest = index;
    answer(message, error);
}

// 0 when the engine has no more to say.
static int obey(void) {
    deadman_message message = {0, 0, 0};
    union {
        struct control_header header;
        unsigned char bytes[sizeof(struct control_header) + 4 * sizeof(int)];
    } control;
    struct vector vector = {&message, sizeof message};
    struct message_header header = {0, 0, &vector, 1, &control, sizeof control, 0};
    long count = CALL(recvmsg, DEADMAN_CONTROL, &header, CLOSE_ON_EXEC, 0, 0, 0);
    if (count == -EINTR) return 1;
    if (count != sizeof message) return 0;
    int received[4], files_received = 0;
    if (header.control_length >= sizeof control.header && control.header.level == LEVEL_SOCKET &&
        control.header.type == PASS_RIGHTS) {
        files_received = (int)((control.header.length - sizeof control.header) / sizeof(int));
        if (files_received > 4) files_received = 4;
        memcpy(received, control.bytes + sizeof control.header, (size_t)files_received * sizeof(int));
    }
    switch (message.request) {
    case DEADMAN_HOLD: hold(message, received, files_received); return 1;
    case DEADMAN_LET_GO:
        if (message.slot > 0 && message.slot < DEADMAN_SLOT_COUNT) {
            close_files(message.slot);
            is_held[message.slot] = 0;
        }
        return 1;
    case DEADMAN_WAKE: answer(message, 0); return 1;
    case DEADMAN_LEAVE: answer(message, 0); return 0;
    default: answer(message, -ENOSYS); return 1;
    }
}

// ---- Coming and going

static int32_t cgroup_files[MOST_CGROUPS];  // each cgroup.procs of its cgroups' parents

// Its cgroup goes with it, unless a successor is in it already.
static void leave(const char *cgroup, int parents) {
    for (int i = 0; i < parents; i++) {
        CALL(write, cgroup_files[i], "0", 1, 0, 0, 0);
        CALL(unlinkat, DEADMAN_CGROUPS + i, cgroup, REMOVE_DIRECTORY, 0, 0, 0);
    }
    CALL(exit_group, 0, 0, 0, 0, 0, 0);
}

static struct poll_file watched[2 + DEADMAN_SLOT_COUNT];
static uint16_t slot_watched[DEADMAN_SLOT_COUNT];

// With nobody else to notice, a target that ends lets go of its namespaces and files at once.
static unsigned watch_targets(void) {
    unsigned count = 0;
    for (unsigned index = 1; index <= highest; index++) {
        if (!files[index][DEADMAN_MOST_FILES]) continue;
        slot_watched[count] = (uint16_t)index;
        watched[2 + count++] = (struct poll_file){files[index][DEADMAN_MOST_FILES] - 1, POLL_IN, 0};
    }
    return count;
}

static void watch(long timer, const char *cgroup, int parents) {
    for (;;) {
        int64_t next = INT64_MAX, time = now();
        for (unsigned index = 1; index <= highest; index++) {
            int64_t due = due_at(index);
            if (due <= time) {
                fire(index);
                due = due_at(index);
            }
            if (due < next) next = due;
        }
        if (engine_is_gone && next == INT64_MAX) leave(cgroup, parents);
        struct timer_setting setting = {{0, 0}, {0, 0}};
        if (next != INT64_MAX) {
            setting.value.seconds = next / second;
            setting.value.nanoseconds = next % second;
            // All zero would mean never.
            if (next <= 0) setting.value.nanoseconds = 1;
        }
        CALL(timerfd_settime, timer, TIMER_ABSOLUTE, &setting, 0, 0, 0);
        watched[0] = (struct poll_file){(int)timer, POLL_IN, 0};
        watched[1] = (struct poll_file){engine_is_gone ? -1 : DEADMAN_CONTROL, POLL_IN, 0};
        unsigned count = engine_is_gone ? watch_targets() : 0;
        CALL(ppoll, watched, 2 + count, 0, 0, 0, 0);
        if (watched[1].returned && !obey()) {
            engine_is_gone = 1;
            CALL(close, DEADMAN_CONTROL, 0, 0, 0, 0, 0);
        }
        for (unsigned i = 0; i < count; i++) {
            if (!watched[2 + i].returned) continue;
            slot_at(slot_watched[i])->deadline = 0;
            close_file(slot_watched[i], DEADMAN_MOST_FILES);
        }
    }
}

static int open_parents(void) {
    int count = 0;
    while (count < MOST_CGROUPS && CALL(fcntl, DEADMAN_CGROUPS + count, 1 /* F_GETFD */, 0, 0, 0, 0) >= 0) count++;
    for (int i = 0; i < count; i++)
        cgroup_files[i] = (int32_t)CALL(openat, DEADMAN_CGROUPS + i, "cgroup.procs", WRITE_ONLY, 0, 0, 0);
    return count;
}

#if defined(__x86_64__)
#define THIS_PROCESSOR AUDIT_ARCH_X86_64
#else
#define THIS_PROCESSOR AUDIT_ARCH_AARCH64
#endif
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

// From here on it can make no other calls, whoever takes it over.
static long allow_nothing_else(void) {
    static struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_PROCESSOR, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(ppoll), ALLOW(restart_syscall), ALLOW(clock_gettime), ALLOW(timerfd_settime),
        ALLOW(sendto), ALLOW(recvfrom), ALLOW(recvmsg), ALLOW(close), ALLOW(close_range),
        ALLOW(pidfd_send_signal), ALLOW(ftruncate), ALLOW(unlinkat), ALLOW(pread64), ALLOW(pwrite64), ALLOW(write), ALLOW(clone),
        ALLOW(connect), ALLOW(rt_sigreturn), ALLOW(exit_group),
        // Without CAP_SYS_TIME it only tells.
        ALLOW(clock_adjtime),
        // Of sockets those to processes of this node.
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UNIX_FAMILY, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return CALL(prctl, 22 /* PR_SET_SECCOMP */, 2 /* SECCOMP_MODE_FILTER */, &program, 0, 0, 0);
}

void run(long *stack) {
    long argument_count = stack[0];
    const char **arguments = (const char **)(stack + 1);
    // Nobody looks into it, not even root of a container that sees the node's processes.
    CALL(prctl, SET_DUMPABLE, 0, 0, 0, 0, 0);
    if (argument_count != 3) CALL(exit_group, 64, 0, 0, 0, 0, 0);
    CALL(prctl, SET_NAME, "squall-deadman", 0, 0, 0, 0);
    CALL(setsid, 0, 0, 0, 0, 0, 0);
    // They belong to the container.
    for (int file = 0; file < DEADMAN_MEMORY; file++) CALL(close, file, 0, 0, 0, 0, 0);
    struct signal_action ignore = {(void *)1, 0, 0, 0};
    CALL(rt_sigaction, SIGNAL_CHILD, &ignore, 0, 8, 0, 0);
    int parents = open_parents();
    long timer = CALL(timerfd_create, CLOCK_BOOT, 0, 0, 0, 0, 0);
    if (timer < 0) CALL(exit_group, 66, 0, 0, 0, 0, 0);
    memory = (unsigned char *)CALL(
        mmap, 0, (size_t)DEADMAN_SLOT_COUNT * DEADMAN_SLOT_SIZE, READ_WRITE, SHARED, DEADMAN_MEMORY, 0);
    const deadman_header *header = (const deadman_header *)memory;
    if ((unsigned long)memory > -4096UL || header->magic != DEADMAN_MAGIC || header->version != DEADMAN_VERSION)
        CALL(exit_group, 65, 0, 0, 0, 0, 0);
    if (allow_nothing_else() != 0) CALL(exit_group, 67, 0, 0, 0, 0, 0);
    watch(timer, arguments[2], parents);
}
