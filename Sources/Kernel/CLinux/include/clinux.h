// System calls and constants that Swift's Glibc module does not show: variadic functions,
// calls behind _GNU_SOURCE, and calls without a libc wrapper. Every function returns what the
// system call returns: -1 with errno on failure.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/timex.h>
#include <sys/types.h>

enum {
    CLINUX_CLONE_NEWNS = 0x00020000,
    CLINUX_CLONE_NEWCGROUP = 0x02000000,
    CLINUX_CLONE_NEWUTS = 0x04000000,
    CLINUX_CLONE_NEWIPC = 0x08000000,
    CLINUX_CLONE_NEWUSER = 0x10000000,
    CLINUX_CLONE_NEWPID = 0x20000000,
    CLINUX_CLONE_NEWNET = 0x40000000,
};

// Flags of openat2(2).
enum {
    CLINUX_O_PATH = 010000000,
    CLINUX_RESOLVE_NO_XDEV = 0x01,
    CLINUX_RESOLVE_NO_MAGICLINKS = 0x02,
    CLINUX_RESOLVE_NO_SYMLINKS = 0x04,
    CLINUX_RESOLVE_BENEATH = 0x08,
    CLINUX_RESOLVE_IN_ROOT = 0x10,
};

int clinux_setns(int descriptor, int namespace_type);
int clinux_unshare(int flags);
int clinux_pidfd_open(pid_t process, unsigned flags);
int clinux_pidfd_send_signal(int pidfd, int signal);
// PR_SET_NAME; at most 15 bytes are kept.
int clinux_set_name(const char *name);
// PR_SET_DUMPABLE
int clinux_forbid_dumps(void);

int clinux_open(const char *path, int flags, unsigned mode);
int clinux_openat(int directory, const char *path, int flags, unsigned mode);
// openat2(2) with RESOLVE_* flags.
int clinux_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
// A new file in a directory, without a name: O_TMPFILE of open(2).
int clinux_open_unnamed(int directory, unsigned mode);
// What fstatfs(2) tells, in bytes.
typedef struct {
    int64_t type;
    int64_t total;
    int64_t free;
    int64_t available;
    int read_only;
} clinux_space;
int clinux_get_space(int file, clinux_space *space);
int clinux_allocate(int file, int64_t offset, int64_t length);
// The same, without the file growing: FALLOC_FL_KEEP_SIZE.
int clinux_reserve(int file, int64_t offset, int64_t length);
// As whom the calling thread, and no other, makes files: setfsuid(2), setfsgid(2).
void clinux_set_file_user(uid_t user, gid_t group);
int clinux_fcntl(int descriptor, int command, long argument);
// The CPUs that the calling thread may run on, at most so many; how many there are, or -1 with errno.
int clinux_own_cpus(int *cpus, int most);
// The calling thread runs there from now on.
int clinux_stay_on_cpu(int cpu);
// Lets an open file be read and written past the kernel's caches, or through them again.
int clinux_use_direct_io(int descriptor, int use);

// A descriptor of its own for what another process has open.
int clinux_pidfd_getfd(int pidfd, int descriptor);

// Waits for the process behind a pidfd to end and reaps it if it is a child (WNOHANG if asked).
// Returns the process id, 0 if it still runs, -1 with errno. `code` is CLD_EXITED, CLD_KILLED ...
int clinux_wait_pidfd(int pidfd, int no_hang, int *code, int *status);
// The same for any child.
pid_t clinux_wait_any(int no_hang, int *code, int *status);

// posix_spawnp(3): a program of the user's in a process group of its own, without input, with pipes for output and complaints.
// -1 with errno.
int clinux_start_program(
    char *const arguments[], char *const environment[], int *output, int *complaint, pid_t *process);

// A timerfd on CLOCK_BOOTTIME, non-blocking; armed for an absolute instant (0 disarms).
int clinux_boot_timer(void);
int clinux_boot_timer_arm(int timer, int64_t absolute_nanoseconds);
int64_t clinux_boot_time(void);
// How many nanoseconds CLOCK_REALTIME is ahead of CLOCK_BOOTTIME.
int64_t clinux_clock_lead(void);
// clock_adjtime(2) with ADJ_SETOFFSET: so many nanoseconds ahead.
int clinux_step_clock(int64_t nanoseconds);

// accept4(2) with SOCK_CLOEXEC and SOCK_NONBLOCK.
int clinux_accept(int socket);

typedef struct {
    pid_t process;
    uid_t user;
    gid_t group;
} clinux_peer;
// SO_PEERCRED
int clinux_peer_credentials(int socket, clinux_peer *peer);
// SO_NETNS_COOKIE: unique for the life of the machine. Linux 5.14.
int clinux_netns_cookie(int socket, uint64_t *cookie);

// The CLONE_NEW* flag of a namespace's descriptor: NS_GET_NSTYPE of ioctl_ns(2).
int clinux_namespace_type(int descriptor);

// A memfd that may be executed and sealed, and the seal that makes it immutable.
int clinux_memfd_executable(const char *name);
int clinux_memfd_seal(int memfd);
// A memfd of this size, to be shared.
int clinux_memfd_shared(const char *name, int64_t size);

// sendmsg(2) with descriptors (at most 4) as SCM_RIGHTS.
ssize_t clinux_send_with_files(int socket, const void *data, size_t length, const int *files, size_t file_count);

// How many CPUs the calling thread may use: sched_getaffinity(2).
int clinux_affinity_count(void);

// PR_SET_CHILD_SUBREAPER
int clinux_become_subreaper(void);

/// Lets go of the pages of this program's own code and constants, which the kernel maps again when they are used.
void clinux_let_go_of_program(void);
