#include "spawning.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

// What the child writes when a stage fails. A pipe that closes without it says that exec succeeded.
typedef struct {
    int error;
    clinux_spawn_stage stage;
} failure_report;

// ---- The child. Every stage returns 0, or -1 with errno.

static int join_cgroups(const clinux_spawn_order *order) {
    for (size_t i = 0; i < order->cgroup_process_file_count; i++)
        if (write(order->cgroup_process_files[i], "0", 1) != 1) return -1;
    return 0;
}

static int die_with_parent(const clinux_spawn_order *order, pid_t parent) {
    if (order->parent_death_signal == 0) return 0;
    if (prctl(PR_SET_PDEATHSIG, order->parent_death_signal, 0, 0, 0) != 0) return -1;
    // A parent that died before the prctl sends no signal.
    if (getppid() != parent) _exit(127);
    return 0;
}

static int set_oom_score(const clinux_spawn_order *order) {
    if (!order->sets_oom_score) return 0;
    char text[16];
    char *digit = text + sizeof text;
    unsigned value = (unsigned)abs(order->oom_score);
    do {
        *--digit = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    if (order->oom_score < 0) *--digit = '-';
    int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file < 0) return -1;
    ssize_t written = write(file, digit, (size_t)(text + sizeof text - digit));
    int error = errno;
    close(file);
    errno = error;
    return written < 0 ? -1 : 0;
}

static int join_namespaces(const clinux_spawn_order *order) {
    for (size_t i = 0; i < order->namespace_count; i++)
        if (setns(order->namespaces[i], 0) != 0) return -1;
    return 0;
}

static int leave_directory(void) { return chdir("/"); }

// Moves a descriptor out of the way of the targets' numbers.
static int lift(int *descriptor, int above) {
    int lifted = fcntl(*descriptor, F_DUPFD_CLOEXEC, above + 1);
    if (lifted < 0) return -1;
    *descriptor = lifted;
    return 0;
}

// Leaves open the targets, and above them the executable and the report, which close at exec. CLOSE_RANGE_CLOEXEC would be
// shorter, and needs Linux 5.11.
static int arrange_descriptors(const clinux_spawn_order *order, int *executable, int *report) {
    int highest = 2;
    for (size_t i = 0; i < order->descriptor_count; i++)
        if (order->descriptors[i].target > highest) highest = order->descriptors[i].target;
    int own[] = {highest + 1, highest + 2};
    int sources[order->descriptor_count + 1];  // One more, because no array may have the length 0.
    for (size_t i = 0; i < order->descriptor_count; i++) {
        sources[i] = order->descriptors[i].source;
        if (lift(&sources[i], own[1]) != 0) return -1;
    }
    if (lift(executable, own[1]) != 0 || lift(report, own[1]) != 0) return -1;
    if (dup3(*executable, own[0], O_CLOEXEC) < 0) return -1;
    *executable = own[0];
    if (dup3(*report, own[1], O_CLOEXEC) < 0) return -1;
    *report = own[1];
    if (syscall(SYS_close_range, 0U, (unsigned)highest, 0U) != 0) return -1;
    for (size_t i = 0; i < order->descriptor_count; i++)
        if (dup2(sources[i], order->descriptors[i].target) < 0) return -1;
    return (int)syscall(SYS_close_range, (unsigned)own[1] + 1, ~0U, 0U);
}

// Needs CAP_SETPCAP, so it comes before the user changes.
static int limit_bounding_set(const clinux_spawn_order *order) {
    for (int capability = 0; capability < 64; capability++) {
        int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        if (held < 0) return errno == EINVAL ? 0 : -1;  // beyond the last capability of this kernel
        if (!held || (order->capabilities >> capability & 1)) continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return -1;
    }
    return 0;
}

// By raw system calls: libc's functions signal the other threads that it believes this process has, and wait forever.
static int change_user(const clinux_spawn_order *order) {
    if (!order->sets_user) return 0;
    // The change from user 0 to another clears the permitted set, unless:
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return -1;
    if (syscall(SYS_setgroups, 0, NULL) != 0) return -1;
    if (syscall(SYS_setresgid, order->group, order->group, order->group) != 0) return -1;
    return (int)syscall(SYS_setresuid, order->user, order->user, order->user);
}

static int set_capabilities(const clinux_spawn_order *order) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct halves[2];
    for (int i = 0; i < 2; i++) {
        uint32_t half = (uint32_t)(order->capabilities >> (32 * i));
        halves[i].effective = half;
        halves[i].permitted = half;
        halves[i].inheritable = half;
    }
    if (syscall(SYS_capset, &header, halves) != 0) return -1;
    // Only the ambient set lets a process that is not root keep capabilities over exec.
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return -1;
    for (int capability = 0; capability < 64; capability++) {
        if (!(order->capabilities >> capability & 1)) continue;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) return -1;
    }
    return 0;
}

static int forbid_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

// Exec resets handlers, but a signal that its parent ignores stays ignored in a child, as SIGPIPE mostly is.
// By raw system calls: libc's sigaction takes a lock. Two of the signals cannot be set, and are at their defaults.
static void reset_signals(void) {
    static const uint64_t default_action[4];
    for (int signal = 1; signal <= 64; signal++) syscall(SYS_rt_sigaction, signal, default_action, NULL, 8);
}

static int execute(const clinux_spawn_order *order, int executable) {
    reset_signals();
    sigset_t none;
    sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) != 0) return -1;
    return (int)syscall(SYS_execveat, executable, "", order->arguments, order->environment, AT_EMPTY_PATH);
}

static _Noreturn void run_child(const clinux_spawn_order *order, pid_t parent, int report) {
    int executable = order->executable;
    clinux_spawn_stage stage;
    if (stage = CLINUX_SPAWN_CGROUP, join_cgroups(order) != 0) goto failed;
    if (stage = CLINUX_SPAWN_PARENT_DEATH, die_with_parent(order, parent) != 0) goto failed;
    if (stage = CLINUX_SPAWN_OOM_SCORE, set_oom_score(order) != 0) goto failed;
    if (stage = CLINUX_SPAWN_NAMESPACES, join_namespaces(order) != 0) goto failed;
    if (stage = CLINUX_SPAWN_DIRECTORY, leave_directory() != 0) goto failed;
    if (stage = CLINUX_SPAWN_DESCRIPTORS, arrange_descriptors(order, &executable, &report) != 0) goto failed;
    if (stage = CLINUX_SPAWN_BOUNDING_SET, limit_bounding_set(order) != 0) goto failed;
    if (stage = CLINUX_SPAWN_USER, change_user(order) != 0) goto failed;
    if (stage = CLINUX_SPAWN_CAPABILITIES, set_capabilities(order) != 0) goto failed;
    if (stage = CLINUX_SPAWN_NO_NEW_PRIVILEGES, forbid_new_privileges() != 0) goto failed;
    // A change of credentials clears the signal, so it is asked for a second time.
    if (stage = CLINUX_SPAWN_PARENT_DEATH, die_with_parent(order, parent) != 0) goto failed;
    stage = CLINUX_SPAWN_EXEC;
    execute(order, executable);
failed:;
    failure_report failure = {.error = errno, .stage = stage};
    ssize_t written = write(report, &failure, sizeof failure);
    _exit(written == sizeof failure ? 127 : 126);
}

// ---- The parent.

static pid_t clone_into(int cgroup_directory, int *pidfd) {
    struct clone_args arguments;
    memset(&arguments, 0, sizeof arguments);
    arguments.flags = CLONE_PIDFD;
    arguments.pidfd = (uint64_t)(uintptr_t)pidfd;
    arguments.exit_signal = SIGCHLD;
    if (cgroup_directory >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)cgroup_directory;
    }
    return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

// No error when there is no report.
static failure_report read_what_is_there(int pipe) {
    failure_report failure;
    ssize_t count;
    do count = read(pipe, &failure, sizeof failure);
    while (count < 0 && errno == EINTR);
    if (count == sizeof failure) return failure;
    return (failure_report){.error = count < 0 && errno != EAGAIN ? errno : 0, .stage = CLINUX_SPAWN_PIPE};
}

// Waits for exec or for a report; a child that was put into a frozen cgroup comes to neither.
static failure_report read_report(int pipe, int timeout_milliseconds) {
    struct pollfd wait = {.fd = pipe, .events = POLLIN};
    int ready;
    do ready = poll(&wait, 1, timeout_milliseconds);
    while (ready < 0 && errno == EINTR);
    if (ready < 0) return (failure_report){.error = errno, .stage = CLINUX_SPAWN_PIPE};
    if (ready == 0) return (failure_report){.error = ETIMEDOUT, .stage = CLINUX_SPAWN_TIMEOUT};
    return read_what_is_there(pipe);
}

// Ends a child that will not run its program. One in a frozen v1 cgroup dies only when that is thawed: it is left to
// whoever reaps the rest.
static void discard_child(int pidfd, int timeout_milliseconds) {
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    struct pollfd wait = {.fd = pidfd, .events = POLLIN};
    siginfo_t ignored;
    if (poll(&wait, 1, timeout_milliseconds) > 0) waitid((idtype_t)P_PIDFD, (id_t)pidfd, &ignored, WEXITED);
    close(pidfd);
}

clinux_spawn_result clinux_spawn(const clinux_spawn_order *order) {
    clinux_spawn_result result = {.process = -1, .pidfd = -1, .error = 0, .stage = CLINUX_SPAWN_PIPE, .report = -1};
    int pipe[2];
    if (pipe2(pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        result.error = errno;
        return result;
    }
    // Until its exec no signal may run our handlers in the child.
    sigset_t all, previous;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous);
    pid_t parent = getpid();
    int pidfd = -1;
    pid_t child = clone_into(order->cgroup_directory, &pidfd);
    if (child == 0) run_child(order, parent, pipe[1]);
    int clone_error = errno;
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    close(pipe[1]);

    if (child < 0) {
        result.error = clone_error;
        result.stage = CLINUX_SPAWN_CLONE;
    } else if (order->timeout_milliseconds < 0) {
        result.process = child;
        result.pidfd = pidfd;
        result.report = pipe[0];
        return result;
    } else {
        failure_report failure = read_report(pipe[0], order->timeout_milliseconds);
        result.error = failure.error;
        result.stage = failure.stage;
        if (failure.error == 0) {
            result.process = child;
            result.pidfd = pidfd;
        } else {
            discard_child(pidfd, order->timeout_milliseconds);
        }
    }
    close(pipe[0]);
    return result;
}

clinux_spawn_result clinux_spawn_failure(int report) {
    failure_report failure = read_what_is_there(report);
    return (clinux_spawn_result){
        .process = -1, .pidfd = -1, .error = failure.error, .stage = failure.stage, .report = -1};
}
