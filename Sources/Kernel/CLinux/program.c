#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

int clinux_start_program(char *const arguments[], char *const environment[], int *output, int *complaint, pid_t *process) {
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) != 0) return -1;
    if (pipe2(err, O_CLOEXEC) != 0) {
        int failure = errno;
        close(out[0]);
        close(out[1]);
        errno = failure;
        return -1;
    }
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int failure = posix_spawn_file_actions_init(&files);
    if (failure == 0) {
        failure = posix_spawnattr_init(&attributes);
        if (failure == 0) {
            failure = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
            if (!failure) failure = posix_spawn_file_actions_adddup2(&files, out[1], 1);
            if (!failure) failure = posix_spawn_file_actions_adddup2(&files, err[1], 2);
            // Whoever starts it may have blocked or ignored signals for itself.
            if (!failure) failure = posix_spawnattr_setsigmask(&attributes, &none);
            if (!failure) failure = posix_spawnattr_setsigdefault(&attributes, &all);
            if (!failure) failure = posix_spawnattr_setpgroup(&attributes, 0);
            if (!failure)
                failure = posix_spawnattr_setflags(
                    &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
            if (!failure) failure = posix_spawnp(process, arguments[0], &files, &attributes, arguments, environment);
            posix_spawnattr_destroy(&attributes);
        }
        posix_spawn_file_actions_destroy(&files);
    }
    close(out[1]);
    close(err[1]);
    if (failure != 0) {
        close(out[0]);
        close(err[0]);
        errno = failure;
        return -1;
    }
    *output = out[0];
    *complaint = err[0];
    return 0;
}
