// Starts a process: everything between clone3(2) and execveat(2), where only C may run. The child shares no
// memory with its parent, but it is a copy of one thread of it: no allocation, no lock, no libc call that takes one.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// How far the child came, in the order of the stages.
typedef enum {
    CLINUX_SPAWN_PIPE = 1,
    CLINUX_SPAWN_CLONE,
    CLINUX_SPAWN_CGROUP,
    CLINUX_SPAWN_PARENT_DEATH,
    CLINUX_SPAWN_OOM_SCORE,
    CLINUX_SPAWN_NAMESPACES,
    CLINUX_SPAWN_DIRECTORY,
    CLINUX_SPAWN_DESCRIPTORS,
    CLINUX_SPAWN_BOUNDING_SET,
    CLINUX_SPAWN_USER,
    CLINUX_SPAWN_CAPABILITIES,
    CLINUX_SPAWN_NO_NEW_PRIVILEGES,
    CLINUX_SPAWN_EXEC,
    CLINUX_SPAWN_TIMEOUT,  // The child did not come to its exec in time, and was killed.
} clinux_spawn_stage;

typedef struct {
    int source;
    int target;
} clinux_spawn_descriptor;

typedef struct {
    int executable;
    const char *const *arguments;    // NULL at the end
    const char *const *environment;  // NULL at the end

    int cgroup_directory;             // CLONE_INTO_CGROUP (cgroup v2), or -1
    const int *cgroup_process_files;  // cgroup.procs files, opened for writing (cgroup v1)
    size_t cgroup_process_file_count;

    const int *namespaces;  // joined in this order
    size_t namespace_count;

    // All that the new program has open: each source under its target's number.
    const clinux_spawn_descriptor *descriptors;
    size_t descriptor_count;

    int parent_death_signal;  // 0: none. The kernel ties it to the calling *thread*.
    int sets_oom_score;
    int oom_score;
    int sets_user;  // with no supplementary groups
    uid_t user;
    gid_t group;
    uint64_t capabilities;  // permitted, effective, inheritable, ambient and bounding set become exactly these
    int timeout_milliseconds;  // negative: return as soon as the child is there
} clinux_spawn_order;

typedef struct {
    pid_t process;
    int pidfd;
    int error;  // 0: the new program runs (or has already ended)
    clinux_spawn_stage stage;
    int report;  // Without a timeout, for clinux_spawn_failure; otherwise -1.
} clinux_spawn_result;

clinux_spawn_result clinux_spawn(const clinux_spawn_order *order);

// Why a child that nobody waited for has not come to its program: an error and a stage, or 0 when it has or may still.
clinux_spawn_result clinux_spawn_failure(int report);
