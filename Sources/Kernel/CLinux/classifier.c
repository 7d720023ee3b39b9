#include "classifier.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int call_bpf(enum bpf_cmd command, union bpf_attr *attributes) {
    return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

int clinux_classifier_memory(unsigned size) {
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = sizeof(uint32_t);
    attributes.value_size = size;
    attributes.max_entries = 1;
    attributes.map_flags = BPF_F_MMAPABLE;
    strncpy(attributes.map_name, "squall_cgroups", sizeof attributes.map_name - 1);
    return call_bpf(BPF_MAP_CREATE, &attributes);
}

#define INSTRUCTION(code_, destination, source, offset, value) \
    (struct bpf_insn) { .code = (code_), .dst_reg = (destination), .src_reg = (source), .off = (offset), .imm = (value) }
#define SET(destination, source) INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_X, destination, source, 0, 0)
#define SET_VALUE(destination, value) INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_K, destination, 0, 0, value)
#define ADD_VALUE(destination, value) INSTRUCTION(BPF_ALU64 | BPF_ADD | BPF_K, destination, 0, 0, value)
#define LOAD(destination, source) INSTRUCTION(BPF_LDX | BPF_MEM | BPF_DW, destination, source, 0, 0)
#define CALL(helper) INSTRUCTION(BPF_JMP | BPF_CALL, 0, 0, 0, helper)
#define EXIT INSTRUCTION(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
// The offset counts from the next instruction.
#define JUMP_IF_EQUAL(one, other, offset) INSTRUCTION(BPF_JMP | BPF_JEQ | BPF_X, one, other, offset, 0)
#define JUMP_IF_VALUE(one, value, offset) INSTRUCTION(BPF_JMP | BPF_JEQ | BPF_K, one, 0, offset, value)
#define JUMP_IF_BELOW(one, value, offset) INSTRUCTION(BPF_JMP | BPF_JLT | BPF_K, one, 0, offset, value)
// Two instructions.
#define SET_ADDRESS(destination, map, offset) \
    INSTRUCTION(BPF_LD | BPF_DW | BPF_IMM, destination, BPF_PSEUDO_MAP_VALUE, 0, map), INSTRUCTION(0, 0, 0, 0, offset)

int clinux_classifier_program(int memory, unsigned offset) {
    // Of the cgroup in which the packet's socket was made, and of each above it, from the root's children down: is it the
    // one that the memory names?
    const struct bpf_insn program[] = {
        SET(BPF_REG_6, BPF_REG_1),
        SET_ADDRESS(BPF_REG_7, memory, (int)offset),
        LOAD(BPF_REG_8, BPF_REG_7),
        JUMP_IF_VALUE(BPF_REG_8, 0, 8),  // nobody's: no
        SET_VALUE(BPF_REG_9, 1),
        SET(BPF_REG_1, BPF_REG_6),  // again, a level lower
        SET(BPF_REG_2, BPF_REG_9),
        CALL(BPF_FUNC_skb_ancestor_cgroup_id),
        JUMP_IF_EQUAL(BPF_REG_0, BPF_REG_8, 5),  // yes
        JUMP_IF_VALUE(BPF_REG_0, 0, 2),          // no socket, or none as low: no
        ADD_VALUE(BPF_REG_9, 1),
        JUMP_IF_BELOW(BPF_REG_9, CLINUX_CLASSIFIER_DEPTH, -7),
        SET_VALUE(BPF_REG_0, 0),  // no
        EXIT,
        SET_VALUE(BPF_REG_0, -1),  // yes
        EXIT,
    };
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.prog_type = BPF_PROG_TYPE_SCHED_CLS;
    attributes.insns = (uint64_t)(uintptr_t)program;
    attributes.insn_cnt = sizeof program / sizeof *program;
    attributes.license = (uint64_t)(uintptr_t)"Apache-2.0";
    strncpy(attributes.prog_name, "squall_cgroup", sizeof attributes.prog_name - 1);
    return call_bpf(BPF_PROG_LOAD, &attributes);
}
