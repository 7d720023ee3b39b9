// A system-call filter without a library: for programs that are to stay small.
#pragma once

#include <stddef.h>
#include <stdint.h>
// The numbers of system calls, SYS_*.
#include <sys/syscall.h>

typedef struct {
    int call;
    int error;  // 0: allowed
    // Unless the mask is 0, the rule is about calls whose argument has this value below the mask. Only the lower 32 bits
    // of an argument are looked at.
    int argument;
    uint32_t mask;
    uint32_t value;
} clinux_call_rule;

// Leaves the calling thread, and all that come from it, the calls of these rules (at most 100), of which the first that
// applies counts; every other call fails with EPERM. Needs "no new privileges". There is no way back:
// prctl(2) with PR_SET_SECCOMP.
int clinux_restrict_calls(const clinux_call_rule *rules, size_t count);
