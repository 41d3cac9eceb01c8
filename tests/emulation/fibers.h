// Fibers: functions with stacks of their own that run in turn on one thread. They tell the address sanitizer of every
// change of stacks.
#pragma once

#include <ucontext.h>

#include <cstdlib>
#include <functional>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define TELL_OF_SWITCH(save, bottom, size) __sanitizer_start_switch_fiber(save, bottom, size)
#define TELL_OF_ARRIVAL(save, bottom, size) __sanitizer_finish_switch_fiber(save, bottom, size)
#else
#define TELL_OF_SWITCH(save, bottom, size) (void)(save)
#define TELL_OF_ARRIVAL(save, bottom, size) (void)(save)
#endif

namespace emulation {

constexpr std::size_t STACK = 256 * 1024;

struct Fiber {
    ucontext_t context;
    void *stack = nullptr, *fake_stack = nullptr;
    const std::function<void()> *body = nullptr;
    bool ended = false;
};

inline ucontext_t scheduler;
inline void *scheduler_fake_stack = nullptr;
inline const void *scheduler_bottom = nullptr;
inline std::size_t scheduler_size = 0;
inline Fiber *current = nullptr;
inline std::vector<Fiber *> idle, begun;

// Back to the scheduler; `ends`: never to come back.
inline void leave(bool ends) {
    Fiber *mine = current;
    TELL_OF_SWITCH(ends ? nullptr : &mine->fake_stack, scheduler_bottom, scheduler_size);
    swapcontext(&mine->context, &scheduler);
    TELL_OF_ARRIVAL(mine->fake_stack, &scheduler_bottom, &scheduler_size);
}

inline void pause() { leave(false); }

inline void leave_for_good() {
    current->ended = true;
    leave(true);
    std::abort();  // nobody resumes a fiber that ended
}

inline void run_fiber() {
    TELL_OF_ARRIVAL(nullptr, &scheduler_bottom, &scheduler_size);
    (*current->body)();
    leave_for_good();
}

// A fiber that will run `body`, which must outlive it.
inline Fiber *begin_fiber(const std::function<void()> &body) {
    Fiber *fiber;
    if (idle.empty()) {
        fiber = new Fiber;
        fiber->stack = std::malloc(STACK);
    } else {
        fiber = idle.back();
        idle.pop_back();
    }
    fiber->body = &body;
    fiber->ended = false;
    fiber->fake_stack = nullptr;
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, run_fiber, 0);
    begun.push_back(fiber);
    return fiber;
}

// Run a fiber until it pauses or ends. Returns whether it ended.
inline bool resume(Fiber *fiber) {
    current = fiber;
    TELL_OF_SWITCH(&scheduler_fake_stack, fiber->stack, STACK);
    swapcontext(&scheduler, &fiber->context);
    TELL_OF_ARRIVAL(scheduler_fake_stack, nullptr, nullptr);
    return fiber->ended;
}

// The stack of a fiber that ended, for another one.
inline void end_fiber(Fiber *fiber) {
    for (auto &each : begun)
        if (each == fiber) {
            each = begun.back();
            begun.pop_back();
            break;
        }
    idle.push_back(fiber);
}

// All stacks back, wherever their fibers are.
inline void abandon_fibers() {
    idle.insert(idle.end(), begun.begin(), begun.end());
    begun.clear();
}

}  // namespace emulation
