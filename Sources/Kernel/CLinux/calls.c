#include "clinux.h"
#include "deadman.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

int clinux_setns(int descriptor, int namespace_type) { return setns(descriptor, namespace_type); }

int clinux_unshare(int flags) { return unshare(flags); }

int clinux_pidfd_open(pid_t process, unsigned flags) { return (int)syscall(SYS_pidfd_open, process, flags); }

int clinux_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int clinux_set_name(const char *name) { return prctl(PR_SET_NAME, name, 0, 0, 0); }

int clinux_forbid_dumps(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

int clinux_open(const char *path, int flags, unsigned mode) { return open(path, flags, mode); }

int clinux_openat(int directory, const char *path, int flags, unsigned mode) {
    return openat(directory, path, flags, mode);
}

int clinux_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

int clinux_open_unnamed(int directory, unsigned mode) {
    return openat(directory, ".", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, mode);
}

// A file system may say anything: nothing that overflows, and nothing negative, leaves here.
static int64_t bytes(uint64_t blocks, int64_t unit) {
    const int64_t most = INT64_C(1) << 60;
    int64_t product;
    if (unit <= 0 || blocks > (uint64_t)most || __builtin_mul_overflow((int64_t)blocks, unit, &product)) return most;
    return product < most ? product : most;
}

int clinux_get_space(int file, clinux_space *space) {
    struct statfs status;
    if (fstatfs(file, &status) != 0) return -1;
    int64_t unit = status.f_frsize;
    space->type = status.f_type;
    space->total = bytes(status.f_blocks, unit);
    space->free = bytes(status.f_bfree, unit);
    // What is below 0 (more than the reserve of root is used) arrives as a huge number: none is free then.
    space->available = status.f_bavail > status.f_bfree ? 0 : bytes(status.f_bavail, unit);
    if (space->free > space->total) space->free = space->total;
    if (space->available > space->free) space->available = space->free;
    space->read_only = (status.f_flags & ST_RDONLY) != 0;
    return 0;
}

int clinux_allocate(int file, int64_t offset, int64_t length) { return fallocate(file, 0, offset, length); }

int clinux_reserve(int file, int64_t offset, int64_t length) {
    return fallocate(file, FALLOC_FL_KEEP_SIZE, offset, length);
}

void clinux_set_file_user(uid_t user, gid_t group) {
    // The group first: a user without rights may not change it.
    setfsgid(group);
    setfsuid(user);
}

int clinux_fcntl(int descriptor, int command, long argument) { return fcntl(descriptor, command, argument); }

int clinux_own_cpus(int *cpus, int most) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return -1;
    int count = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && count < most; cpu++) {
        if (CPU_ISSET(cpu, &set)) cpus[count++] = cpu;
    }
    return count;
}

int clinux_stay_on_cpu(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set);
}

int clinux_use_direct_io(int descriptor, int use) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0) return flags;
    return fcntl(descriptor, F_SETFL, use ? flags | O_DIRECT : flags & ~O_DIRECT);
}

int clinux_pidfd_getfd(int pidfd, int descriptor) { return (int)syscall(SYS_pidfd_getfd, pidfd, descriptor, 0); }

static int wait_for(idtype_t type, id_t id, int no_hang, int *code, int *status) {
    siginfo_t information;
    memset(&information, 0, sizeof information);
    if (waitid(type, id, &information, WEXITED | (no_hang ? WNOHANG : 0)) != 0) return -1;
    *code = information.si_code;
    *status = information.si_status;
    return information.si_pid;
}

int clinux_wait_pidfd(int pidfd, int no_hang, int *code, int *status) {
    return wait_for((idtype_t)P_PIDFD, (id_t)pidfd, no_hang, code, status);
}

pid_t clinux_wait_any(int no_hang, int *code, int *status) { return wait_for(P_ALL, 0, no_hang, code, status); }

int clinux_boot_timer(void) { return timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK); }

int clinux_boot_timer_arm(int timer, int64_t absolute_nanoseconds) {
    struct itimerspec when;
    memset(&when, 0, sizeof when);
    when.it_value.tv_sec = absolute_nanoseconds / 1000000000;
    when.it_value.tv_nsec = absolute_nanoseconds % 1000000000;
    return timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

int64_t clinux_boot_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int64_t wall_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int64_t clinux_clock_lead(void) { return deadman_clock_lead(clinux_boot_time, wall_time); }

int clinux_step_clock(int64_t nanoseconds) {
    int64_t seconds, rest;
    deadman_split(nanoseconds, &seconds, &rest);
    struct timex change = {.modes = ADJ_SETOFFSET | ADJ_NANO, .time = {.tv_sec = seconds, .tv_usec = rest}};
    return clock_adjtime(CLOCK_REALTIME, &change);
}

int clinux_accept(int socket) { return accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int clinux_peer_credentials(int socket, clinux_peer *peer) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return -1;
    peer->process = credentials.pid;
    peer->user = credentials.uid;
    peer->group = credentials.gid;
    return 0;
}

int clinux_netns_cookie(int socket, uint64_t *cookie) {
    socklen_t length = sizeof *cookie;
    return getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &length);
}

int clinux_namespace_type(int descriptor) { return ioctl(descriptor, NS_GET_NSTYPE); }

int clinux_memfd_executable(const char *name) {
    int memfd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    // Before Linux 6.3 every memfd may be executed, and the flag is unknown.
    if (memfd < 0 && errno == EINVAL) memfd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return memfd;
}

int clinux_memfd_seal(int memfd) {
    return fcntl(memfd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

int clinux_affinity_count(void) {
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0) return -1;
    return CPU_COUNT(&cpus);
}

int clinux_become_subreaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

int clinux_memfd_shared(const char *name, int64_t size) {
    int memfd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memfd < 0) return -1;
    if (ftruncate(memfd, size) == 0 && fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return memfd;
    int error = errno;
    close(memfd);
    errno = error;
    return -1;
}

ssize_t clinux_send_with_files(int socket, const void *data, size_t length, const int *files, size_t file_count) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    if (file_count > 4) {
        errno = EINVAL;
        return -1;
    }
    memset(&control, 0, sizeof control);
    struct iovec vector = {.iov_base = (void *)data, .iov_len = length};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (file_count > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(file_count * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(file_count * sizeof(int));
        memcpy(CMSG_DATA(&control.header), files, file_count * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

static int let_go_of_object(struct dl_phdr_info *object, size_t size, void *nothing) {
    (void)size, (void)nothing;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (unsigned index = 0; index < object->dlpi_phnum; index++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[index];
        // What can be written is nowhere else.
        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W) continue;
        uintptr_t start = object->dlpi_addr + segment->p_vaddr, end = start + segment->p_memsz;
        start = (start + page - 1) & ~(page - 1);
        end &= ~(page - 1);
        if (start < end) madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}

void clinux_let_go_of_program(void) { dl_iterate_phdr(let_go_of_object, NULL); }
