/* What the stand-in tells beside CUDA's own calls. */
#ifndef FAKE_CUDA_H
#define FAKE_CUDA_H
#include <stddef.h>

struct fake_cuda_counters {
    /* what is there now */
    long device_allocations, host_allocations, host_registrations, streams, events, graphs, executables, contexts;
    /* what somebody did wrong */
    long calls_without_context, calls_after_fork, calls_from_host_functions, bad_frees, bad_handles, bad_pointers, broken_captures, frees_while_busy, errors,
        unsupported_calls;
    /* what was done */
    long copies, pageable_copies, host_functions, graph_launches;
};

const struct fake_cuda_counters *fake_cuda_counters(void);
void fake_cuda_report(void);
void fake_cuda_reset_calls(void); /* count the calls of FAKE_CUDA_FAIL from 1 again */
long fake_cuda_calls(void);       /* how many calls there were since then */
void fake_cuda_read_settings(void); /* again, after a test changed the environment */
int fake_cuda_was_injected(void); /* how many calls failed because of it since then */
void *fake_cuda_host_address(unsigned long long device_pointer, size_t bytes); /* NULL: not the device's memory */
#endif
