// Programs that the kernel asks whose a packet is (bpf(2)). They are made before anybody is served, and what each of them
// looks for is changed by writing a memory: who serves need not load code into the kernel.
#pragma once

#include <stdint.h>

enum {
    // How deep below the root a cgroup may be.
    CLINUX_CLASSIFIER_DEPTH = 64,
};

// A memory of so many bytes that programs read and that can be mapped: a descriptor, or -1 with errno.
int clinux_classifier_memory(unsigned size);

// A program for cls_bpf: whether the packet's socket was made in the cgroup whose number, of 64 bits, is in the memory there,
// or below it; 0 is nobody's. A descriptor, or -1 with errno.
int clinux_classifier_program(int memory, unsigned offset);
