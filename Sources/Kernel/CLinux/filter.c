#include "filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the numbers of system calls are this processor's"
#endif

// The lower half of an argument, on processors that are little-endian, as these are.
#define ARGUMENT(index) ((unsigned)offsetof(struct seccomp_data, args) + (unsigned)(index) * 8)

enum { MOST_RULES = 100, PER_RULE = 6 };

static unsigned refusal(int error) { return SECCOMP_RET_ERRNO | ((unsigned)error & SECCOMP_RET_DATA); }

int clinux_restrict_calls(const clinux_call_rule *rules, size_t count) {
    struct sock_filter program[MOST_RULES * PER_RULE + 4];
    if (count > MOST_RULES) {
        errno = E2BIG;
        return -1;
    }
    unsigned short length = 0;
#define EMIT(instruction) program[length++] = (struct sock_filter)instruction
#define LOAD(offset) EMIT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset)))
#define RETURN(value) EMIT(BPF_STMT(BPF_RET | BPF_K, (value)))
// Skips so many instructions unless the number just loaded is this one.
#define ONLY_IF(value, skipped) EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skipped)))

    // The numbers of another architecture's calls mean something else.
    LOAD(offsetof(struct seccomp_data, arch));
    EMIT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCHITECTURE, 1, 0));
    RETURN(SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < count; i++) {
        const clinux_call_rule *rule = &rules[i];
        unsigned action = rule->error ? refusal(rule->error) : SECCOMP_RET_ALLOW;
        LOAD(offsetof(struct seccomp_data, nr));
        if (rule->mask == 0) {
            ONLY_IF((unsigned)rule->call, 1);
        } else {
            ONLY_IF((unsigned)rule->call, 4);
            LOAD(ARGUMENT(rule->argument));
            EMIT(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, rule->mask));
            ONLY_IF(rule->value, 1);
        }
        RETURN(action);
    }
    RETURN(refusal(EPERM));

    struct sock_fprog filter = {.len = length, .filter = program};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
}
