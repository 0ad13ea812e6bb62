package console

import (
	"strings"
	"sync"
)

// dispatchers call whatever they were asked to: their callee says what a CPU
// is busy with, while the innermost function of a loop is chance.
var dispatchers = sync.OnceValue(func() []string {
	return join(
		// system calls
		[]string{"^do_syscall_", "^do_fast_syscall_", "^__do_fast_syscall_", "^do_int80_", "^do_int80", "^x64_sys_call", "^ia32_sys_call", "^entry_SYSCALL", "^entry_INT80", "^entry_SYSENTER", "^sysenter_", "^tracesys", "^system_call", "^int_ret_from_sys_call", "^el0_svc", "^invoke_syscall", "^__invoke_syscall", "^ret_fast_syscall", "^handle_syscall", "^__do_syscall", "^do_trap_ecall"},
		// kernel threads, work items, timers, softirqs
		[]string{"^process_one_work$", "^process_scheduled_works", "^worker_thread$", "^kthread$", "^smpboot_thread_fn", "^run_ksoftirqd", "^ret_from_", "^call_timer_fn", "^__run_timers", "^run_timer_softirq", "^__hrtimer_run", "^hrtimer_run", "^__do_softirq", "^do_softirq", "^handle_softirqs", "^__netif_receive_skb", "^netif_receive_skb", "^cpu_startup_entry", "^start_secondary", "^__flush_smp_call_function_queue", "^flush_smp_call_function_queue", "^generic_smp_call_function_", "^__sysvec_call_function"},
		// operations of files
		[]string{"vfs_read$", "vfs_write$", "^full_proxy_", "^vfs_iter_", "^do_iter_", "^call_read_iter", "^call_write_iter", "^new_sync_", "^vfs_ioctl", "^do_vfs_ioctl", "^ksys_ioctl", "blkdev_ioctl", "^blkdev_driver_ioctl", "^do_dentry_open", "^vfs_open", "^call_mmap", "^mmap_region", "^__mmap_region", "^do_mmap", "^__fput", "^____fput", "^task_work_run", "^exit_to_user", "^prepare_exit_to_usermode"},
		// operations of sockets
		[]string{"^sock_sendmsg", "^__sock_sendmsg", "^sock_recvmsg", "^sock_release", "^__sock_release", "^__sys_setsockopt", "^do_sock_setsockopt", "^kernel_setsockopt", "^sock_common_setsockopt", "^__sys_listen", "^kernel_listen", "^sk_common_release", "^sock_mmap", "^__sys_accept", "^kernel_accept", "^sock_do_ioctl", "^sock_ioctl", "^compat_sock_ioctl", "^nfnetlink_rcv_msg", "^netlink_dump$", "sys_socketpair", "sys_connect", "SYSC_connect", "SyS_connect", "SYSC_ioctl", "SyS_ioctl", "sys_ioctl"},
		// message handlers of subsystems
		[]string{"^rtnetlink_rcv_msg", "^tasklet_action", "^tasklet_hi_action", "_compat_ioctl$"},
	)
})

// interrupts are the entries of the timer interrupt that found the stall.
func interrupt(name string) bool {
	return matches(name, []string{"apic_timer_interrupt", "^timer_interrupt", "^el1_irq", "^el1h_64_irq", "^el1_interrupt", "^__irq_svc", "^gic_handle_irq", "^decrementer_common", "^handle_IRQ$"})
}

// faults are dispatchers too, but a fault in a system call is the call's.
var faults = []string{"^__do_fault", "handle_mm_fault", "do_page_fault", "^page_fault$", "^exc_page_fault", "^do_user_addr_fault"}

// stalled picks what the stalled CPU was asked to do: in the stack under the
// timer interrupt that found the stall, or in the first that tells.
func (r *report) stalled() Frame {
	for _, ask := range [][]string{dispatchers(), join(dispatchers(), faults)} {
		var carried []Frame // instruction pointers printed before their stack
		for _, s := range r.stacks {
			frames := append(carried, s.merged()...)
			carried = nil
			if len(s.frames) == 0 {
				carried = frames
				continue
			}
			if r.watchdog(frames) {
				continue
			}
			if f, ok := r.asked(interrupted(frames), ask); ok {
				return f
			}
		}
	}
	return Frame{}
}

// interrupted are the frames below the timer interrupt, where the stack
// starts in what that interrupt called.
func interrupted(frames []Frame) []Frame {
	ticking := false
	for i, f := range frames {
		ticking = ticking || matches(f.Func, []string{"hrtimer_interrupt", "update_process_times", "^tick_", "rcu_dump_cpu_stacks", "rcu_sched_clock_irq", "rcu_check_callbacks", "cpu_stall", "preempt_schedule_irq"})
		switch {
		case ticking && interrupt(f.Func) && i+1 < len(frames):
			return frames[i+1:]
		case interrupt(f.Func):
			return frames
		}
	}
	return frames
}

// watchdog says that a stack is not that of the stalled CPU: the grace-period
// thread, or one that holds no more than the report's own machinery.
func (r *report) watchdog(frames []Frame) bool {
	for _, f := range frames {
		if strings.HasPrefix(f.Func, "rcu_gp_") || strings.HasPrefix(f.Func, "rcu_exp_") {
			return true
		}
	}
	return len(frames) == 0
}

// merged is the stack with the instruction pointers at their places.
func (s *stack) merged() []Frame {
	var frames []Frame
	next := 0
	for _, p := range s.pointed {
		frames = append(frames, s.frames[next:p.next]...)
		next = p.next
		if p.frame.Func != "" {
			frames = append(frames, p.frame)
		}
	}
	return append(frames, s.frames[next:]...)
}

// asked is the callee of the innermost of the dispatchers.
func (r *report) asked(frames []Frame, dispatchers []string) (Frame, bool) {
	var previous Frame
	for _, f := range frames {
		switch {
		case strings.HasPrefix(f.Func, "smp_call_function"):
			return f, true // waits for other CPUs: a stall of its own
		case previous.Func != "" && matches(f.Func, dispatchers):
			return previous, true
		case passive(f.Func), matches(f.Func, r.rule.skip), strings.Contains(f.Func, "rcu_") && previous.Func == "", interrupt(f.Func):
		default:
			previous = f
		}
	}
	return Frame{}, false
}

// waiting are functions every sleeping task is in.
var waiting = []string{"sched", "_lock", "_slowlock", "down", "rwsem", "completion", "kthread", "wait", "synchronize", "context_switch", "__switch_to", "cancel_delayed_work", "rcu_barrier", "^do_read_cache_"}

// buckets are waits whose victims are many and whose cause is one.
var buckets = []string{"rtnl_lock", "synchronize_rcu", "synchronize_srcu", "synchronize_net", "synchronize_sched"}

// hung picks what a blocked task waits in.
func (r *report) hung() Frame {
	frames := r.first().frames
	for _, f := range frames {
		for _, b := range buckets {
			if strings.Contains(f.Func, b) {
				if b != "rtnl_lock" {
					f.Func = "synchronize_rcu"
				}
				return f
			}
		}
	}
	for _, f := range frames {
		if !matches(f.Func, waiting) && !passive(f.Func) {
			return f
		}
	}
	return Frame{}
}
